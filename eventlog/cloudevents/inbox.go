package cloudevents

import (
	"bytes"
	"mime"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// ParseRecord checks an event that a producer wrote to an inbox, by the same rules as [Intake.Parse]
// does for HTTP. It takes both modes of CloudEvents' Kafka protocol binding. An event that names no
// school is about the one in the record's key, and one without a time has that of the record. The
// envelope is returned with faults too, as far as it could be read; the error is then a
// *[domain.InvalidError].
func (p Intake) ParseRecord(rec *eventlog.Record) (*domain.Envelope, error) {
	d := newDecoder(true)
	defer d.release()
	in := request{intake: p, decoder: d}
	r, contentType := recordParts(rec, d)
	mediaType, params, err := mime.ParseMediaType(contentType)
	switch {
	case contentType != "" && (err != nil ||
		params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8")):
		d.faults.Add("/datacontenttype", "must be a media type in UTF-8, not %.80q", contentType)
	case mediaType == StructuredType:
		r = &raw{}
		in.structured(rec.Value, &r)
	case strings.HasPrefix(mediaType, "application/cloudevents"):
		d.faults.Add("", "must be one event as %s, or have its attributes in headers, not %s",
			StructuredType, mediaType)
	case r.values[specVersion] == nil && bytes.Contains(rec.Value, []byte(`"specversion"`)):
		d.faults.Add("", "looks like a structured event: send it with the header content-type: %s",
			StructuredType)
	}
	if len(d.faults.List) > 0 && d.faults.List[0].Pointer == "" {
		// It is in no form that could be read further; faults of what is missing would mislead.
		return &domain.Envelope{School: string(rec.Key), ID: string(r.values[id])}, d.faults.Err()
	}
	if r.values[school] == nil {
		r.values[school] = rec.Key
	}
	r.time = rec.Time
	in.take(0, r)
	event := &domain.Envelope{School: string(rec.Key)}
	if len(in.events) > 0 {
		event = in.events[0]
	}
	faults := domain.Faults{}
	for _, f := range in.rejection.Faults {
		faults.List = append(faults.List, domain.Fault{Pointer: f.Pointer, Reason: f.Reason})
	}
	return event, faults.Err()
}

// recordParts takes an event in binary mode apart, and returns the content type with it. Headers
// that are no attributes are left to those who put them there.
func recordParts(rec *eventlog.Record, d *decoder) (r *raw, contentType string) {
	r = &raw{data: rec.Value, hasData: rec.Value != nil}
	for i := range rec.Headers {
		h := &rec.Headers[i]
		name, isAttribute := strings.CutPrefix(h.Key, "ce_")
		a := unknownAttribute
		switch {
		case h.Value == nil: // a null attribute is one that is not there
			continue
		case isAttribute:
			if a = attributeNamed(name); a == unknownAttribute {
				checkExtension(name, &d.faults)
			}
		case strings.EqualFold(h.Key, "content-type"):
			a, contentType = dataContentType, string(h.Value)
		}
		if a == unknownAttribute {
			continue
		}
		if r.values[a] != nil {
			d.faults.Add(a.pointer(), "is there twice")
			continue
		}
		r.values[a] = nonNil(h.Value)
	}
	return r, contentType
}

// structured reads one structured event as far as its parts.
func (in *request) structured(body []byte, r **raw) {
	d := in.decoder
	d.faults.List = nil // of headers, which do not count
	d.reset(body)
	parts, err := d.envelope(body)
	if err == nil {
		err = d.end()
	}
	*r = parts
	switch {
	case err != nil:
		d.faults.List = append([]domain.Fault{{Reason: syntaxReason(err)}}, d.faults.List...)
	case parts.notObject && len(d.faults.List) > 0:
		d.faults.List[0].Pointer = ""
	}
}
