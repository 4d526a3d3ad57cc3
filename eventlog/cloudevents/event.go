package cloudevents

import (
	"errors"
	"fmt"
	"mime"
	"reflect"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/eventlog"
)

// ErrUnknownType says that an event's type is not in the catalogue. It comes from a newer producer, or is
// not one of Schoolbell's.
var ErrUnknownType = errors.New("is not in the catalogue")

const jsonType = "application/json"

// event makes an envelope of an event's parts. It is returned, as far as it could be read, even
// with faults. An error means that the data could not be read at all, as its type is unknown.
func (d *decoder) event(r *raw) (*domain.Envelope, error) {
	e := &domain.Envelope{
		// ids do not repeat, so interning them would only fill the table
		ID:            string(r.values[id]),
		Source:        d.intern(r.values[source]),
		School:        d.intern(r.values[school]),
		Subject:       d.intern(r.values[subject]),
		CausationID:   string(r.values[causationID]),
		CorrelationID: string(r.values[correlationID]),
		Actor:         d.intern(r.values[actor]),
		TraceParent:   string(r.values[traceParent]),
		TraceState:    string(r.values[traceState]),
		Author: domain.Author{
			Subject: d.intern(r.values[authSub]), TokenID: d.intern(r.values[authJTI]),
		},
	}
	unreadable := len(d.faults.List)
	d.attributes(e, r)
	d.dropConsequences(0, unreadable)
	c := codecs[string(r.values[eventType])]
	switch {
	case len(r.values[eventType]) == 0:
		return e, nil
	case c == nil:
		e.Type = string(r.values[eventType])
		if isNewer(e.Type) {
			return e, fmt.Errorf("event type %.80q: %w: it %w", e.Type, ErrUnknownType,
				eventlog.ErrNewer)
		}
		return e, fmt.Errorf("event type %.80q: %w", e.Type, ErrUnknownType)
	}
	e.Type = c.fact.Type
	if r.undecoded {
		return e, nil
	}
	if !r.hasData {
		d.faults.Add("/data", "is required")
		return e, nil
	}
	d.body(e, c, r)
	return e, nil
}

// newestVersions holds the version up to which this program knows each fact.
var newestVersions = func() map[[2]string]int {
	newest := map[[2]string]int{}
	for _, f := range catalog.Facts() {
		context, fact, version := f.Name()
		newest[[2]string{context, fact}] = max(newest[[2]string{context, fact}], version)
	}
	return newest
}()

// isNewer reports that a type is in the catalogue in an older version.
func isNewer(eventType string) bool {
	context, fact, version, err := domain.SplitType(eventType)
	newest, known := newestVersions[[2]string{context, fact}]
	return err == nil && known && version > newest
}

// attributes checks all attributes; the type only for being there.
func (d *decoder) attributes(e *domain.Envelope, r *raw) {
	f := &d.faults
	if v := r.values[specVersion]; string(v) != "1.0" {
		f.Add("/specversion", "must be 1.0")
	}
	f.ID("/id", e.ID)
	CheckSource(r.values[source], f)
	if len(r.values[eventType]) == 0 {
		f.Add("/type", "is required")
	}
	f.ID("/school", e.School)
	if strings.ContainsAny(e.School, "*/") {
		f.Add("/school", "must not contain * or /")
	}
	if r.values[subject] != nil {
		f.ID("/subject", e.Subject)
	}
	e.Time = r.time
	if v := r.values[eventTime]; v != nil {
		t, err := parseTime(v)
		if err != nil {
			f.Add("/time", "%s", err)
		}
		e.Time = t
	} else if r.time.IsZero() {
		f.Add("/time", "is required")
	}
	for _, a := range [...]attribute{causationID, correlationID, actor, traceParent} {
		if v := r.values[a]; v != nil {
			f.OptionalID(a.pointer(), string(v))
		}
	}
	if r.values[traceState] != nil {
		f.OptionalText("/tracestate", e.TraceState, domain.MaxTextLength)
	}
	if v := r.values[dataContentType]; v != nil && string(v) != jsonType && !isJSON(string(v)) {
		f.Add("/datacontenttype", "must be a type of JSON, for example application/json")
	}
}

// isJSON reports that a content type is one of JSON in UTF-8.
func isJSON(contentType string) bool {
	mediaType, params, err := mime.ParseMediaType(contentType)
	return err == nil && isJSONType(mediaType) && isUTF8(params)
}

// isJSONType reports that a media type is one of JSON: the two names of JSON itself, and every type
// with its suffix (RFC 6839).
func isJSONType(mediaType string) bool {
	return mediaType == jsonType || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// isUTF8 reports that the parameters of a media type leave or make the text UTF-8.
func isUTF8(params map[string]string) bool {
	return params["charset"] == "" || strings.EqualFold(params["charset"], "utf-8")
}

// body reads, checks and upcasts the data.
func (d *decoder) body(e *domain.Envelope, c *codec, r *raw) {
	data := c.fact.New()
	before := len(d.faults.List)
	d.data(r.data, c.plan, reflect.ValueOf(data))
	unreadable := len(d.faults.List)
	if unreadable == before || d.faults.List[before].Pointer != "" {
		if d.strict && !e.Time.IsZero() {
			d.faults.Day = domain.DateOf(e.Time)
		}
		data.Validate(&d.faults)
		d.faults.Day = 0
		d.dropConsequences(before, unreadable)
	}
	found := d.faults.List[before:]
	for i := range found {
		found[i].Pointer = "/data" + found[i].Pointer
	}
	if len(found) > 0 {
		if e.Subject == "" {
			e.Subject = data.Subject()
		}
		return
	}
	_, e.Data = catalog.Upcast(c.fact, data)
	about := e.Data.Subject()
	if r.values[subject] != nil && e.Subject != about {
		d.faults.Add("/subject", "must agree with the data, which is about %q", about)
	}
	e.Subject = about
}

// dropConsequences removes the faults that validation found in fields that could not be read: it
// saw them empty, and one fault for each mistake is enough.
func (d *decoder) dropConsequences(before, unreadable int) {
	if unreadable == before {
		return
	}
	rest := d.faults.List[:unreadable]
	for _, f := range d.faults.List[unreadable:] {
		repeated := false
		for _, u := range d.faults.List[before:unreadable] {
			repeated = repeated ||
				u.Pointer != "" &&
					(f.Pointer == u.Pointer || strings.HasPrefix(f.Pointer, u.Pointer+"/"))
		}
		if !repeated {
			rest = append(rest, f)
		}
	}
	d.faults.List = rest
}

// formatTime writes a time the way parseTime reads it.
func formatTime(b []byte, t time.Time) []byte { return t.AppendFormat(b, time.RFC3339Nano) }
