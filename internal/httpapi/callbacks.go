package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers/document"
)

// SMSCallbackPath is where the receipts of text messages come in.
const SMSCallbackPath = "/v1/callbacks/sms"

// callbackRoutes take what providers report. Who sends a report is known by its signature, not by a token.
func (a *API) callbackRoutes() {
	text := func(name, description string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Required: true, Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	member := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description}
	}
	a.mux.Handle("POST "+SMSCallbackPath, a.deps.Consumers.SMSCallback)
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "receive-sms-status", Method: http.MethodPost, Path: SMSCallbackPath, Tags: []string{tagDeliveries},
		Summary: "Take a receipt of a text message",
		Description: "The SMS provider calls this address, which each message names (StatusCallback), as Twilio does: a form, signed in " +
			"X-Twilio-Signature with the account's token over the address and the form. A receipt may come twice and in any order.",
		Security: []map[string][]string{},
		Parameters: []*huma.Param{
			text("delivery", "The delivery."), text("school", "Its school."), text("expires", "Until when receipts are taken, in seconds since 1970."),
			{Name: "X-Twilio-Signature", In: "header", Required: true, Description: "HMAC-SHA1, in base64.", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"MessageSid", "MessageStatus"},
			Properties: map[string]*huma.Schema{
				"MessageSid":    member("What the provider calls the message."),
				"MessageStatus": member("queued, sending, sent, delivered, undelivered, failed …"),
				"ErrorCode":     member("Why it failed."), "ErrorMessage": member("Why it failed."), "Price": member("What it cost."),
			},
			AdditionalProperties: true,
		}}}},
		Responses: map[string]*huma.Response{
			"204": {Description: "It is taken, or was known."},
			"400": {Description: "It is not a receipt."},
			"401": {Description: "It is not signed by the provider, or too late."},
			"404": {Description: "There is no such delivery."},
			"413": {Description: "It is too long."},
			"503": {Description: "It cannot be taken just now; Retry-After says when to come again."},
		},
	})
}

// linkRoutes serve documents to holders of a link.
func (a *API) linkRoutes() {
	const path = document.Pattern
	a.mux.Handle("GET "+path, a.deps.Consumers.Documents)
	text := &huma.Schema{Type: huma.TypeString}
	responses := a.problems("403", "404", "410", "503")
	responses["200"] = &huma.Response{
		Description: "The document; it never changes, and may be kept for as long as the link holds. Ranges are served.",
		Content: map[string]*huma.MediaType{"application/pdf": {Schema: &huma.Schema{
			Type: huma.TypeString, Extensions: map[string]any{"contentMediaType": "application/pdf"},
		}}},
	}
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "get-document", Method: http.MethodGet, Path: path, Tags: []string{tagDeliveries},
		Summary: "Follow a link to a document",
		Description: "A link is made for whoever may read the document (texts, inboxes and the outbox have them), is signed, and expires. " +
			"It needs no token, so that it can be opened anywhere.",
		Security: []map[string][]string{},
		Parameters: []*huma.Param{
			{Name: "sha256", In: "path", Required: true, Description: "The hash of the document.", Schema: text},
			{Name: "expires", In: "query", Required: true, Description: "Until when the link holds, in seconds since 1970.", Schema: text},
			{Name: "signature", In: "query", Required: true, Description: "Proves that the link was made here.", Schema: text},
		},
		Responses: responses,
	})
}
