package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers/provider/webpush"
)

// pushRoutes let browsers subscribe to push messages for their users.
func (a *API) pushRoutes() {
	const path = schoolPath + "/push"
	handle(a, huma.Operation{
		OperationID: "get-push-key", Method: http.MethodGet, Path: path + "/key",
		Tags:        []string{tagInbox},
		Summary:     "Get the key for web push subscriptions",
		Description: "The applicationServerKey for pushManager.subscribe. It does not change.",
	}, needMember, func(context.Context, *request, *empty) (*response[PushKey], error) {
		return &response[PushKey]{PushKey{a.deps.Consumers.PushKey}}, nil
	})
	handle(a, huma.Operation{
		OperationID: "subscribe-device", Method: http.MethodPost, Path: path + "/subscriptions",
		Tags:    []string{tagInbox},
		Summary: "Subscribe a device to push messages",
		Description: "Takes the toJSON() of a browser's PushSubscription. Push messages for the " +
			"caller then go to that device too. Subscribing an endpoint again replaces its keys. " +
			"A user has at most ten devices; an eleventh replaces the one that subscribed the " +
			"longest time ago. The endpoint must be a public https URL.",
		DefaultStatus: http.StatusNoContent, Errors: []int{422},
	}, needMember, func(ctx context.Context, req *request, in *subscriptionInput) (*empty, error) {
		return nil,
			a.deps.Tables.AsUser(ctx, req.school, req.bearer.Subject, func(tx pgx.Tx) error {
				return webpush.Add(ctx, tx, req.school, req.bearer.Subject, in.Body.Subscription)
			})
	})
	handle(a, huma.Operation{
		OperationID: "unsubscribe-device", Method: http.MethodDelete, Path: path + "/subscriptions",
		Tags:        []string{tagInbox},
		Summary:     "Unsubscribe a device from push messages",
		Description: "Repeating it changes nothing.", DefaultStatus: http.StatusNoContent,
		Errors: []int{422},
	}, needMember, func(ctx context.Context, req *request, in *endpointInput) (*empty, error) {
		return nil,
			a.deps.Tables.AsUser(ctx, req.school, req.bearer.Subject, func(tx pgx.Tx) error {
				return webpush.Remove(ctx, tx, req.school, req.bearer.Subject, in.Endpoint)
			})
	})
}

// PushKey is the public half of the key that signs push messages.
type PushKey struct {
	Key string `json:"key" doc:"The VAPID public key, in base64url"`
}

type subscriptionInput struct {
	Body PushSubscription
}

// PushSubscription is the JSON of a browser's PushSubscription.
type PushSubscription struct {
	webpush.Subscription
	ExpirationTime *int64 `json:"expirationTime,omitzero" nullable:"true" doc:"Ignored: a device is removed when its push service reports it gone"`
}

type endpointInput struct {
	Endpoint string `query:"endpoint" required:"true" maxLength:"1024" doc:"The endpoint of the device's subscription"`
}
