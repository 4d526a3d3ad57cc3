package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers/provider/webpush"
)

// pushRoutes let browsers and telephones subscribe to notices for their users.
func (a *API) pushRoutes() {
	const path = schoolPath + "/push"
	handle(a, huma.Operation{
		OperationID: "get-push-key", Method: http.MethodGet, Path: path + "/key", Tags: []string{tagInbox},
		Summary: "Get the key to subscribe with", Description: "The applicationServerKey of pushManager.subscribe. It stays the same.",
	}, needMember, func(context.Context, *request, *empty) (*response[PushKey], error) {
		return &response[PushKey]{PushKey{a.deps.Consumers.PushKey}}, nil
	})
	handle(a, huma.Operation{
		OperationID: "subscribe-device", Method: http.MethodPost, Path: path + "/subscriptions", Tags: []string{tagInbox},
		Summary: "Subscribe a device",
		Description: "Takes a browser's PushSubscription as its toJSON() makes it; from then on notices for the bearer go to that device too. " +
			"The same endpoint again replaces its keys. A user has at most ten devices: the one that has not subscribed for the longest time " +
			"makes room. The endpoint must be an https address on the internet.",
		DefaultStatus: http.StatusNoContent, Errors: []int{422},
	}, needMember, func(ctx context.Context, req *request, in *subscriptionInput) (*empty, error) {
		return nil, a.deps.Pool.AsUser(ctx, req.school, req.bearer.Subject, func(tx pgx.Tx) error {
			return webpush.Add(ctx, tx, req.school, req.bearer.Subject, in.Body.Subscription)
		})
	})
	handle(a, huma.Operation{
		OperationID: "unsubscribe-device", Method: http.MethodDelete, Path: path + "/subscriptions", Tags: []string{tagInbox},
		Summary: "Unsubscribe a device", Description: "To say so again changes nothing.", DefaultStatus: http.StatusNoContent, Errors: []int{422},
	}, needMember, func(ctx context.Context, req *request, in *endpointInput) (*empty, error) {
		return nil, a.deps.Pool.AsUser(ctx, req.school, req.bearer.Subject, func(tx pgx.Tx) error {
			return webpush.Remove(ctx, tx, req.school, req.bearer.Subject, in.Endpoint)
		})
	})
}

// PushKey is the public half of the key that notices are signed with.
type PushKey struct {
	Key string `json:"key" doc:"The VAPID public key, in base64url"`
}

type subscriptionInput struct {
	Body PushSubscription
}

// PushSubscription is what a browser's PushSubscription.toJSON() gives.
type PushSubscription struct {
	webpush.Subscription
	ExpirationTime *int64 `json:"expirationTime,omitzero" nullable:"true" doc:"As browsers send it; a device is forgotten when its service says that it is gone"`
}

type endpointInput struct {
	Endpoint string `query:"endpoint" required:"true" maxLength:"1024" doc:"The device's"`
}
