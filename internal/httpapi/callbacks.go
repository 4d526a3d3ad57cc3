package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers/document"
)

// SMSCallbackPath is where the SMS provider posts the receipts of text messages.
const SMSCallbackPath = "/v1/callbacks/sms"

// SMSInboundPath is where the SMS provider posts the texts that recipients send.
const SMSInboundPath = SMSCallbackPath + "/inbound"

// callbackRoutes take reports of providers. A report proves its sender by a signature instead of a
// token.
func (a *API) callbackRoutes() {
	member := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description}
	}
	a.mux.Handle("POST "+SMSCallbackPath, a.deps.Consumers.SMSCallback)
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "receive-sms-status", Method: http.MethodPost, Path: SMSCallbackPath,
		Tags:    []string{tagDeliveries},
		Summary: "Receive the status of a text message",
		Description: "For the SMS provider, which posts to the URL that each message gives as " +
			"its StatusCallback. The form is signed the way Twilio does it: X-Twilio-Signature " +
			"covers the URL and the form. Receipts may arrive twice and in any order.",
		Security: []map[string][]string{},
		Parameters: required(
			param("delivery", "query", "The delivery's id."),
			param("school", "query", "The school's id."),
			param("expires", "query", "When the URL expires, in seconds since 1970."),
			param("X-Twilio-Signature", "header", "HMAC-SHA1 with the account's token, in base64."),
		),
		RequestBody: &huma.RequestBody{
			Required: true,
			Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{"MessageSid", "MessageStatus"},
				Properties: map[string]*huma.Schema{
					"MessageSid": member("The provider's id of the message."),
					"MessageStatus": member("For example queued, sent, delivered, undelivered or " +
						"failed."),
					"ErrorCode":    member("The provider's error code."),
					"ErrorMessage": member("The provider's error text."),
					"Price":        member("What the message cost."),
				},
				AdditionalProperties: true,
			}}},
		},
		Responses: map[string]*huma.Response{
			"204": {Description: "The receipt is recorded, or already was."},
			"400": {Description: "The form is not a receipt."},
			"401": {Description: "The signature is wrong, or the URL has expired."},
			"404": {Description: "There is no such delivery."},
			"413": {Description: "The form is too large."},
			"503": {Description: "Temporarily unavailable; retry after Retry-After."},
		},
	})
}

func (a *API) inboundRoute() {
	const path = SMSInboundPath
	member := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description}
	}
	a.mux.Handle("POST "+path, a.deps.Consumers.SMSInbound)
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "receive-sms", Method: http.MethodPost, Path: path,
		Tags:    []string{tagDeliveries},
		Summary: "Receive a text message of a recipient",
		Description: "Set this address at the SMS provider for inbound texts. A text that is only " +
			"STOP, or the like in a language that Schoolbell writes in, opts the guardians out who " +
			"were texted at its number, at every school; START opts them in again. The form is " +
			"signed as that of a status is. Other texts are neither stored nor logged.",
		Security: []map[string][]string{},
		Parameters: required(
			param("X-Twilio-Signature", "header", "HMAC-SHA1 with the account's token, in base64."),
		),
		RequestBody: &huma.RequestBody{
			Required: true,
			Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{"MessageSid", "From", "Body"},
				Properties: map[string]*huma.Schema{
					"MessageSid": member("The provider's id of the message."),
					"From":       member("The number that it comes from, as +15125550100."),
					"Body":       member("The text."),
					"OptOutType": member("STOP, START or HELP, where the provider has read it itself."),
				},
				AdditionalProperties: true,
			}}},
		},
		Responses: map[string]*huma.Response{
			"204": {Description: "Received."},
			"400": {Description: "The form cannot be read."},
			"401": {Description: "The signature is wrong."},
			"413": {Description: "The form is too large."},
			"503": {Description: "Temporarily unavailable; retry after Retry-After."},
		},
	})
}

// linkRoutes serve documents to whoever has a link.
func (a *API) linkRoutes() {
	const path = document.Pattern
	a.mux.Handle("GET "+path, a.deps.Consumers.Documents)
	responses := a.problems("403", "404", "410", "503")
	responses["200"] = &huma.Response{
		Description: "The document. It never changes, so it may be cached until the link " +
			"expires. Range requests work.",
		Content: map[string]*huma.MediaType{"application/pdf": {Schema: &huma.Schema{
			Type:       huma.TypeString,
			Extensions: map[string]any{"contentMediaType": "application/pdf"},
		}}},
	}
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "get-document", Method: http.MethodGet, Path: path,
		Tags:    []string{tagDeliveries},
		Summary: "Get a document by its link",
		Description: "Links are in text messages, inboxes and the outbox. They are signed, " +
			"expire, and need no token, so that they open in any browser.",
		Security: []map[string][]string{},
		Parameters: required(
			param("sha256", "path", "The document's SHA-256."),
			param("expires", "query", "When the link expires, in seconds since 1970."),
			param("signature", "query", "Proves that Schoolbell made the link."),
		),
		Responses: responses,
	})
}
