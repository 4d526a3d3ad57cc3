package twilio

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// scalar is a text, a number or a truth value of a response, as text; null and anything else is
// empty. Services that are compatible with Twilio's write numbers where it has texts, and texts
// where it has numbers.
type scalar string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *scalar) UnmarshalJSON(b []byte) error {
	*s = ""
	switch jsontext.Value(b).Kind() {
	case '"':
		return json.Unmarshal(b, (*string)(s))
	case '0', 't', 'f':
		*s = scalar(b)
	}
	return nil
}

// number returns the whole number that it stands for, or 0.
func (s scalar) number() int {
	n, _ := strconv.Atoi(strings.TrimSpace(string(s))) // what is no number is none
	return n
}

// message is a message as the service describes it.
type message struct {
	SID          scalar `json:"sid"`
	Status       scalar `json:"status"`
	To           scalar `json:"to"`
	Body         scalar `json:"body"`
	Segments     scalar `json:"num_segments"`
	Price        scalar `json:"price"` // null until it is set, then negative
	ErrorCode    scalar `json:"error_code"`
	ErrorMessage scalar `json:"error_message"`
}

// apiError is an error as the service describes it. Its status is that of HTTP, also where the
// service responds with 200 to everything.
type apiError struct {
	Code    scalar `json:"code"`
	Message scalar `json:"message"`
	Status  scalar `json:"status"`
}

// decode reads a response of the service. What is not quite JSON is read as far as possible: it says
// more than nothing.
func decode(body []byte, into any) error {
	return json.Unmarshal(body, into,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// sent reads the response to a request to send. Only one with the id of a message says that there is
// one, and only one with a code of the service that there is none; the rest, for example the page of
// a proxy, says nothing.
func sent(response *provider.Response) (consumers.Receipt, error) {
	if !response.OK() {
		return consumers.Receipt{}, refusalError(response)
	}
	var m message
	if err := decode(response.Body, &m); err == nil && m.SID != "" {
		return m.receipt(), nil
	}
	var why apiError
	if err := decode(response.Body, &why); err == nil && why.Code.number() != 0 {
		refused := *response
		refused.Status = cmp.Or(why.Status.number(), 400)
		return consumers.Receipt{}, refusalError(&refused)
	}
	return consumers.Receipt{}, provider.Fail(consumers.Unsure, "no_id",
		"service responded %d without the id of a message", response.Status)
}

// refusalError classifies an error response. The service's own codes are a small set, and more
// precise than the status. Without one a status of 503 is a proxy's, which may have lost the
// connection after the service had the request.
func refusalError(response *provider.Response) *consumers.SendError {
	var why apiError
	if err := decode(response.Body, &why); err != nil || why.Code.number() == 0 {
		e := provider.ResponseError(response, "",
			fmt.Errorf("service responded %d", response.Status))
		if response.Status == 503 {
			e.Class = consumers.Unsure
		}
		return e
	}
	code := why.Code.number()
	e := provider.ResponseError(response, strconv.Itoa(code), errors.New(string(why.Message)))
	switch code {
	case 14107, 20429, 21611, 30001, 30022, 63018: // rate limits and full queues
		e.Class = consumers.Temporary
	case 20003, 20503: // wrong token, service unavailable
		e.Class = consumers.Temporary
	case 20500, 20504: // the service does not know what it did
		e.Class = consumers.Unsure
	case optedOut:
		e.OptedOut = true
	}
	return e
}

// optedOut is the service's code for a recipient who has sent STOP.
const optedOut = 21610

// receipt converts what the service says about a message.
func (m message) receipt() consumers.Receipt {
	r := consumers.Receipt{
		State: state(string(m.Status)), ProviderID: string(m.SID),
		Cost: millionths(string(m.Price)), Segments: m.Segments.number(),
	}
	if r.State == consumers.Failed {
		r.Error = reason(string(m.Status), m.ErrorCode.number(), string(m.ErrorMessage))
		r.OptedOut = m.ErrorCode.number() == optedOut
	}
	return r
}

// state maps the service's status. Those before the last ones all mean that it has accepted the
// message.
func state(status string) consumers.State {
	switch status {
	case "delivered", "read":
		return consumers.Delivered
	case "failed", "undelivered", "canceled":
		return consumers.Failed
	}
	return consumers.Sent
}

// reason describes a failure as operators see it, with the code to look up in the service's
// documentation.
func reason(status string, code int, text string) string {
	switch {
	case code != 0 && text != "":
		return fmt.Sprintf("%s: %s (%d)", status, text, code)
	case code != 0:
		return fmt.Sprintf("%s (%d)", status, code)
	}
	return status
}

// millionths parses a price such as "-0.00750" as a positive cost. Anything else is 0.
func millionths(price string) int64 {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(price, "-"), ".")
	fraction = (fraction + "000000")[:6]
	n, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
