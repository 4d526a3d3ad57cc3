package cloudevents

import (
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
)

// append writes an object of the plan's type.
func (p *plan) append(b []byte, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.Field(f.index)
		if f.optional && fv.IsZero() {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = f.append(append(b, f.quoted...), fv)
	}
	return append(b, '}')
}

func (f *field) append(b []byte, v reflect.Value) []byte {
	if f.change {
		if v = v.Field(1); isEmpty(v) {
			return append(b, "null"...)
		}
	}
	switch f.kind {
	case kindText, kindLabel:
		return appendText(b, v.String())
	case kindDate:
		return append(append(append(b, '"'), domain.Date(v.Int()).String()...), '"')
	case kindInt:
		return strconv.AppendInt(b, v.Int(), 10)
	case kindDecimal:
		return domain.Decimal(v.Int()).Append(b)
	case kindBool:
		return strconv.AppendBool(b, v.Bool())
	case kindTexts:
		b = append(b, '[')
		for i, text := range v.Interface().([]string) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, text)
		}
		return append(b, ']')
	case kindObjects:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = f.object.append(b, v.Index(i))
		}
		return append(b, ']')
	default:
		return f.object.append(b, v)
	}
}

// appendText writes a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendText(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text)
	return b
}

// AppendStructured writes an event as one structured CloudEvent.
func AppendStructured(b []byte, e *domain.Envelope) ([]byte, error) {
	return appendStructured(b, e, "")
}

// AppendLogged writes an event from the log as one structured CloudEvent, with its position in the
// extension position.
func AppendLogged(b []byte, e *domain.Envelope, log domain.LogID) ([]byte, error) {
	return appendStructured(b, e, log.At(e.Position).String())
}

func appendStructured(b []byte, e *domain.Envelope, position string) ([]byte, error) {
	c, err := codecOf(e)
	if err != nil {
		return b, err
	}
	b = append(b, `{"specversion":"1.0"`...)
	member := func(name, v string) {
		if v != "" {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = appendText(b, v)
		}
	}
	member("id", e.ID)
	member("source", e.Source)
	member("type", c.fact.Type)
	member("time", string(formatTime(nil, e.Time)))
	member("subject", e.Data.Subject())
	member("school", e.School)
	member("causationid", e.CausationID)
	member("correlationid", e.CorrelationID)
	member("actor", e.Actor)
	member("traceparent", e.TraceParent)
	member("tracestate", e.TraceState)
	member("authsub", e.Author.Subject)
	member("authjti", e.Author.TokenID)
	member("position", position)
	member("datacontenttype", jsonType)
	b = append(b, `,"data":`...)
	b = c.plan.append(b, reflect.ValueOf(e.Data).Elem())
	return append(b, '}'), nil
}
