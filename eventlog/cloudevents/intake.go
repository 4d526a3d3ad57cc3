package cloudevents

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
)

// The media types of an event over HTTP. Binary mode has that of the data.
const (
	StructuredType = "application/cloudevents+json"
	BatchType      = "application/cloudevents-batch+json"
)

// maxFaults is how many faults of one request are listed. The rest is counted.
const maxFaults = 1000

// ErrMediaType says that a request's body is in none of the forms that an event may have.
var ErrMediaType = errors.New(
	"events come as " + StructuredType + ", " + BatchType + ", or with ce- headers as " + jsonType +
		" or another type of JSON",
)

// ErrTooMany says that a batch has more events than one request may contain.
var ErrTooMany = errors.New("too many events in one request")

// Rejection is everything that is wrong with the events of a request. None of them is taken.
type Rejection struct {
	Malformed bool // the body could not be read to its end
	Faults    []EventFault
	More      int // faults beyond those listed
}

// EventFault is one thing that is wrong: with which event, where in it (see the package's
// documentation), and why.
type EventFault struct {
	Index   int    `json:"index"`
	Pointer string `json:"pointer"`
	Reason  string `json:"reason"`
}

func (r *Rejection) Error() string {
	f := r.Faults[0]
	if more := len(r.Faults) - 1 + r.More; more > 0 {
		return fmt.Sprintf("event %d: %s %s, and %d more faults", f.Index, f.Pointer, f.Reason,
			more)
	}
	return fmt.Sprintf("event %d: %s %s", f.Index, f.Pointer, f.Reason)
}

func (r *Rejection) add(index int, faults []domain.Fault) {
	for _, f := range faults {
		if len(r.Faults) == maxFaults {
			r.More++
			continue
		}
		r.Faults = append(r.Faults, EventFault{index, f.Pointer, f.Reason})
	}
}

// Intake is where events from producers are checked before they may enter the log.
type Intake struct {
	// other schools' events are rejected, and events that name no school get this one; empty is any
	// school, which the event must name
	School    string
	Now       time.Time // the time of events that have none
	MaxEvents int       // in one request; 0 is 1,000
}

// Parse reads the events of a request whose body has been read already. Its error is a
// *[Rejection], [ErrMediaType] or [ErrTooMany].
func (p Intake) Parse(header http.Header, body []byte) ([]*domain.Envelope, error) {
	mediaType, err := mediaTypeOf(header)
	if err != nil {
		return nil, err
	}
	d := newDecoder(true)
	defer d.release()
	request := request{intake: p, decoder: d}
	switch {
	case mediaType == StructuredType:
		request.single(body)
	case mediaType == BatchType:
		err = request.batch(body)
	case header.Get("Ce-Specversion") != "" && isJSONType(mediaType) &&
		!strings.HasPrefix(mediaType, "application/cloudevents"): // of a form that we do not read
		request.binary(header, body)
	default:
		return nil, ErrMediaType
	}
	if err != nil {
		return nil, err
	}
	if len(request.rejection.Faults) > 0 {
		return nil, &request.rejection
	}
	return request.events, nil
}

// mediaTypeOf returns the media type of a request. Data without one is JSON, which is what SDKs
// send that are given data and no content type.
func mediaTypeOf(header http.Header) (string, error) {
	switch values := header.Values("Content-Type"); {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return jsonType, nil
	case len(values) > 1:
		return "", ErrMediaType
	}
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || !isUTF8(params) {
		return "", ErrMediaType
	}
	return mediaType, nil
}

// request is one request while it is parsed.
type request struct {
	intake    Intake
	decoder   *decoder
	events    []*domain.Envelope
	rejection Rejection
}

// take checks one event and adds it, or its faults together with those already found in it.
func (in *request) take(index int, r *raw) {
	d := in.decoder
	if r.notObject {
		in.rejection.add(index, d.faults.List)
		d.faults.List = nil
		return
	}
	if r.time.IsZero() {
		r.time = in.intake.Now
	}
	for _, a := range [...]attribute{authSub, authJTI} {
		if r.values[a] != nil {
			d.faults.Add(a.pointer(), "is written by Schoolbell only")
			r.values[a] = nil
		}
	}
	switch v := r.values[school]; {
	case in.intake.School == "": // any, as the event names it
	case v == nil:
		r.values[school] = []byte(in.intake.School)
	case string(v) != in.intake.School:
		d.faults.Add("/school", "must be %q, the school in the address", in.intake.School)
		r.values[school] = []byte(in.intake.School)
	}
	if string(r.values[school]) == domain.Platform {
		d.faults.Add("/school", "must not be %q: decisions about the platform are written by "+
			"Schoolbell only", domain.Platform)
	}
	e, err := d.event(r)
	switch {
	case err != nil:
		d.faults.Add("/type", "%q is not in the catalogue", shorten(e.Type))
	case e.Type != "" && codecs[e.Type].fact.Reserved:
		d.faults.Add("/type", "is written by Schoolbell only")
	}
	in.rejection.add(index, d.faults.List)
	d.faults.List = nil
	in.events = append(in.events, e)
}

func shorten(s string) string {
	const limit = 80
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

func (in *request) malformed(index int, err error) {
	in.rejection.Malformed = true
	in.rejection.add(index, []domain.Fault{{Reason: syntaxReason(err)}})
}

// single reads one structured event.
func (in *request) single(body []byte) {
	in.decoder.reset(body)
	r, err := in.decoder.envelope(body)
	if err == nil {
		err = in.decoder.end()
	}
	if err != nil {
		in.rejection.add(0, in.decoder.faults.List)
		in.malformed(0, err)
		return
	}
	in.take(0, r)
}

// batch reads a list of structured events: first where each one's parts lie, then, as the decoder
// is free again, the parts themselves.
func (in *request) batch(body []byte) error {
	type found struct {
		raw    *raw
		faults []domain.Fault
	}
	d := in.decoder
	limit := in.intake.MaxEvents
	if limit == 0 {
		limit = 1000
	}
	d.reset(body)
	if k := d.json.PeekKind(); k != '[' && k != jsontext.KindInvalid {
		in.rejection.add(0,
			[]domain.Fault{{Reason: "must be a list of events, not " + kindName(k)}})
		return nil
	}
	var all []found
	err := func() error {
		if _, err := d.json.ReadToken(); err != nil {
			return err
		}
		for d.json.PeekKind() != ']' {
			if len(all) == limit {
				return ErrTooMany
			}
			r, err := d.envelope(body)
			all = append(all, found{r, d.faults.List})
			d.faults.List = nil
			if err != nil {
				return err
			}
		}
		if _, err := d.json.ReadToken(); err != nil {
			return err
		}
		return d.end()
	}()
	switch {
	case errors.Is(err, ErrTooMany):
		return fmt.Errorf("%w: at most %d", ErrTooMany, limit)
	case err != nil:
		in.malformed(max(0, len(all)-1), err)
		return nil
	case len(all) == 0:
		in.rejection.add(0, []domain.Fault{{Reason: "the batch holds no events"}})
		return nil
	}
	in.events = make([]*domain.Envelope, 0, len(all))
	for i, f := range all {
		d.faults.List = f.faults
		in.take(i, f.raw)
	}
	return nil
}

// envelope reads one structured event into its parts. The error is one of syntax.
func (d *decoder) envelope(body []byte) (*raw, error) {
	r := &raw{}
	if k := d.json.PeekKind(); k != '{' {
		if k != jsontext.KindInvalid {
			d.faults.Add("", "must be an object, not %s", kindName(k))
		}
		r.notObject = true
		return r, d.skip("")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return r, err
	}
	for d.json.PeekKind() != '}' {
		quoted, err := d.json.ReadValue()
		if err != nil {
			return r, err
		}
		name, ok := d.unquote(quoted)
		if !ok {
			d.faults.Add("", "has a member whose name is not valid UTF-8")
		}
		if err := d.member(r, string(name), body); err != nil {
			return r, err
		}
	}
	_, err := d.json.ReadToken()
	return r, err
}

// member reads one member of a structured event.
func (d *decoder) member(r *raw, name string, body []byte) error {
	switch name {
	case "data":
		if r.hasData {
			d.faults.Add("/data", "is there twice")
			return d.skip("/data")
		}
		r.hasData = true
		value, err := d.json.ReadValue()
		end := int(d.json.InputOffset())
		// what ReadValue returns may be used only until the next read
		r.data = body[end-len(value) : end]
		return err
	case "data_base64":
		return d.encoded(r)
	}
	a := attributeNamed(name)
	k := d.json.PeekKind()
	pointer := "/" + escapePointer(name)
	if k == '{' || k == '[' || k == jsontext.KindInvalid {
		if k != jsontext.KindInvalid {
			d.faults.Add(pointer, "must be a text, not %s", kindName(k))
		}
		return d.skip(pointer)
	}
	value, err := d.json.ReadValue()
	if err != nil {
		return err
	}
	switch {
	case a == unknownAttribute:
		checkExtension(name, &d.faults)
	case k == 'n': // the same as an attribute that is not there
	case r.values[a] != nil:
		d.faults.Add(pointer, "is there twice")
	case k != '"':
		d.faults.Add(pointer, "must be a text, not %s", kindName(k))
		r.values[a] = []byte{}
	default:
		text, ok := d.unquote(value)
		if !ok {
			d.faults.Add(pointer, "is not valid UTF-8")
		}
		r.values[a] = append([]byte{}, text...)
	}
	return nil
}

// encoded reads data that is written in base64, as SDKs do that are given bytes. What it is must be
// JSON all the same.
func (d *decoder) encoded(r *raw) error {
	const pointer = "/data_base64"
	k := d.json.PeekKind()
	if k != '"' && k != 'n' {
		if k != jsontext.KindInvalid {
			d.faults.Add(pointer, "must be a text, not %s", kindName(k))
			r.undecoded = true
		}
		return d.skip(pointer)
	}
	value, err := d.json.ReadValue()
	switch {
	case err != nil || k == 'n':
		return err
	case r.hasData:
		d.faults.Add(pointer, "must not be there together with data")
		return nil
	}
	text, _ := d.unquote(value)
	r.hasData = true
	if r.data, err = base64.StdEncoding.AppendDecode(nil, text); err != nil {
		d.faults.Add(pointer, "is not base64: %s", err)
		r.undecoded = true
	}
	return nil
}

// headerText returns the text of a header. Characters beyond ASCII should be percent-encoded there,
// but SDKs for Go send UTF-8, and HTTP clients of Python and JavaScript ISO 8859-1, the old
// encoding of HTTP.
func headerText(v string) string {
	if utf8.ValidString(v) {
		return v
	}
	runes := make([]rune, len(v))
	for i := range len(v) {
		runes[i] = rune(v[i])
	}
	return string(runes)
}

// binary reads an event whose attributes are in the request's headers.
func (in *request) binary(header http.Header, body []byte) {
	r := &raw{data: body, hasData: len(body) > 0}
	f := &in.decoder.faults
	if contentType := header.Get("Content-Type"); contentType != "" {
		r.values[dataContentType] = []byte(contentType)
	}
	for _, key := range slices.Sorted(maps.Keys(header)) {
		name, ok := strings.CutPrefix(key, "Ce-")
		if !ok {
			continue
		}
		name, values := strings.ToLower(name), header[key]
		a := attributeNamed(name)
		if a == unknownAttribute {
			checkExtension(name, f)
			continue
		}
		if len(values) != 1 || a == dataContentType {
			f.Add(a.pointer(), "must be in one header only")
			continue
		}
		text, err := url.PathUnescape(headerText(values[0]))
		if err != nil {
			f.Add(a.pointer(), "has a %% that is not followed by two hexadecimal digits")
		}
		r.values[a] = []byte(text)
	}
	in.take(0, r)
	in.rejection.Malformed = in.decoder.invalidJSON
}
