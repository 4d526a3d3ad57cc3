package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Headers of the handshake before a webhook, from the specification "HTTP 1.1 Web Hooks for Event
// Delivery" of CloudEvents.
const (
	headerWebhookOrigin  = "Webhook-Request-Origin"
	headerWebhookRate    = "Webhook-Request-Rate"
	headerWebhookAllowed = "Webhook-Allowed-Origin"
	headerWebhookMaxRate = "Webhook-Allowed-Rate"
)

// webhookRoute consents to deliveries. A broker that pushes events asks first whether they are
// wanted, so that nobody can turn it against an address that never asked for them. The question
// comes without a token, which each delivery has to have.
func (a *API) webhookRoute() {
	const path = schoolPath + "/events"
	a.mux.HandleFunc("OPTIONS "+path, a.webhookHandshake)
	responses := a.problems("403")
	responses["204"] = &huma.Response{Description: "Deliveries of this origin are welcome."}
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "agree-to-webhook", Method: http.MethodOptions, Path: path,
		Tags:    []string{tagEvents},
		Summary: "Agree to a webhook",
		Description: "The handshake by which brokers such as Azure Event Grid ask whether they " +
			"may push events here. It needs no token, deliveries do.",
		Parameters: []*huma.Param{
			schoolParam(),
			param("WebHook-Request-Origin", "header", "The name of the sending system."),
			param("WebHook-Request-Rate", "header", "Requests per minute that it would like to send."),
		},
		Security:  []map[string][]string{},
		Responses: responses,
	})
}

func (a *API) webhookHandshake(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Allow", "GET, HEAD, OPTIONS, POST")
	origin := r.Header.Get(headerWebhookOrigin)
	if origin == "" { // it asks for the methods only
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !a.welcome(origin) {
		problem(http.StatusForbidden, "deliveries of %.100q are not wanted here; an operator can "+
			"allow them with --api-webhook-origins", origin).write(w, r)
		return
	}
	h.Set(headerWebhookAllowed, origin)
	if rate := r.Header.Get(headerWebhookRate); rate != "" {
		h.Set(headerWebhookMaxRate, a.webhookRate(rate))
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) welcome(origin string) bool {
	return slices.ContainsFunc(a.config.WebhookOrigins, func(allowed string) bool {
		return allowed == "*" || strings.EqualFold(allowed, origin)
	})
}

// webhookRate grants the requests per minute that a sender would like, as far as its token's rate
// of events goes when each request has one.
func (a *API) webhookRate(wanted string) string {
	most := max(1, int(60*a.config.EventRate))
	if n, err := strconv.Atoi(wanted); err == nil && n > 0 {
		most = min(most, n)
	}
	return strconv.Itoa(most)
}
