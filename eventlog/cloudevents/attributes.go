package cloudevents

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schoolbell/schoolbell/domain"
)

// attribute numbers the context attributes that we know.
type attribute uint8

const (
	specVersion attribute = iota
	id
	source
	eventType
	eventTime
	subject
	school
	causationID
	correlationID
	actor
	traceParent
	traceState
	dataContentType
	dataSchema
	authSub // this and the next are written by Schoolbell, see domain.Author
	authJTI
	attributeCount

	unknownAttribute = attributeCount
)

var attributeNames = [attributeCount]string{
	"specversion", "id", "source", "type", "time", "subject", "school", "causationid", "correlationid", "actor",
	"traceparent", "tracestate", "datacontenttype", "dataschema",
	"authsub", "authjti",
}

// attributePointers are the places of faults in attributes, made once.
var attributePointers = func() (pointers [attributeCount]string) {
	for a, name := range attributeNames {
		pointers[a] = "/" + name
	}
	return pointers
}()

func (a attribute) pointer() string { return attributePointers[a] }

func attributeNamed(name string) attribute {
	switch name {
	case "specversion":
		return specVersion
	case "id":
		return id
	case "source":
		return source
	case "type":
		return eventType
	case "time":
		return eventTime
	case "subject":
		return subject
	case "school":
		return school
	case "causationid":
		return causationID
	case "correlationid":
		return correlationID
	case "actor":
		return actor
	case "traceparent":
		return traceParent
	case "tracestate":
		return traceState
	case "datacontenttype":
		return dataContentType
	case "dataschema":
		return dataSchema
	case "authsub":
		return authSub
	case "authjti":
		return authJTI
	}
	return unknownAttribute
}

// raw is an event taken apart, before anything in it is checked: the text of its attributes and the
// JSON of its data.
type raw struct {
	values    [attributeCount][]byte // nil when absent
	data      []byte
	hasData   bool
	undecoded bool      // data_base64 is not usable; the fault is already reported
	notObject bool      // it is not an object; the fault is already reported
	time      time.Time // used for an event that has no time of its own
}

// checkExtension checks the name of an attribute that we do not know.
func checkExtension(name string, f *domain.Faults) {
	valid := name != ""
	for i := range len(name) {
		c := name[i]
		valid = valid && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !valid {
		f.Add("/"+escapePointer(name),
			"is not an attribute: names have lower-case letters and digits only")
	}
}

// CheckSource checks that a source is a URI reference, as far as its characters go.
func CheckSource(v []byte, f *domain.Faults) {
	switch {
	case len(v) == 0:
		f.Add("/source", "is required")
	case len(v) > domain.MaxTextLength:
		f.Add("/source", "is longer than %d bytes", domain.MaxTextLength)
	default:
		for _, c := range v {
			if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte("<>\"{}|\\^`"), c) >= 0 {
				f.Add(
					"/source",
					"must be a URI reference, for example /sis/north or https://sis.example.org",
				)
				return
			}
		}
	}
}

var earliestTime, latestTime = time.Date(
	1900, 1, 1, 0, 0, 0, 0, time.UTC,
), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// parseTime reads an RFC 3339 time. The result has the offset it was written with, since that is
// what makes its date the school's, and never depends on the zone of this machine.
func parseTime(v []byte) (time.Time, error) {
	t, err := time.ParseInLocation(time.RFC3339, string(v), time.UTC)
	if err != nil {
		t, err = parseRareTime(string(v))
	}
	if err != nil || len(v) > 40 {
		return time.Time{}, fmt.Errorf("must be an RFC 3339 time, for example 2021-08-31T07:45:00Z")
	}
	if t.Before(earliestTime) || !t.Before(latestTime) {
		return time.Time{}, fmt.Errorf("must lie between 1900 and 2199")
	}
	return t, nil
}

// parseRareTime reads what RFC 3339 allows and package time does not: t and z in lower case, and a
// leap second. Our clocks have no such second, so it is taken for the one before, which leaves the
// event on its day.
func parseRareTime(v string) (time.Time, error) {
	v = strings.ToUpper(v)
	const seconds = len("2016-12-31T23:59:")
	leap := len(v) > seconds+1 && v[seconds:seconds+2] == "60"
	if leap {
		v = v[:seconds] + "59" + v[seconds+2:]
	}
	t, err := time.ParseInLocation(time.RFC3339, v, time.UTC)
	if err == nil && leap && t.UTC().Format("15:04") != "23:59" {
		err = errors.New("leap seconds are at the end of a day in UTC only")
	}
	return t, err
}

// escapePointer makes a member's name a reference token of a JSON pointer, cut to a length that is
// good to read.
func escapePointer(name string) string {
	const limit = 64
	cut := ""
	if len(name) > limit {
		name, cut = name[:limit], "…"
	}
	b := make([]byte, 0, len(name)+4)
	for _, r := range name {
		switch r {
		case '~':
			b = append(b, "~0"...)
		case '/':
			b = append(b, "~1"...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b) + cut
}
