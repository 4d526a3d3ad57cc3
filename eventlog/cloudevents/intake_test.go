package cloudevents_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

var now = time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)

const goodData = `{"student_id":"s-1","class_id":"c-1","date":"2026-09-01","session":"am","status":"present"}`

// event is a good structured event; each edit replaces a member, or removes it when its value is
// "".
func event(edits ...string) string {
	members := []string{"specversion", "id", "source", "type", "school", "data"}
	values := map[string]string{
		"specversion": `"1.0"`, "id": `"e-1"`, "source": `"/sis"`, "type": `"schoolbell.attendance.marked.v1"`,
		"school": `"north"`, "data": goodData,
	}
	for i := 0; i < len(edits); i += 2 {
		if _, ok := values[edits[i]]; !ok {
			members = append(members, edits[i])
		}
		values[edits[i]] = edits[i+1]
	}
	var parts []string
	for _, m := range members {
		if values[m] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", m, values[m]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func parse(contentType, body string) error {
	_, err := cloudevents.Intake{
		School: "north", Now: now,
	}.Parse(http.Header{"Content-Type": {contentType}}, []byte(body))
	return err
}

func faults(t *testing.T, err error) []string {
	t.Helper()
	var r *cloudevents.Rejection
	require.ErrorAs(t, err, &r)
	var list []string
	for _, f := range r.Faults {
		list = append(list, fmt.Sprintf("%d %s %s", f.Index, f.Pointer, f.Reason))
	}
	return list
}

func TestP9_EveryBadEventIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	data := func(from, to string) string { return event("data", strings.Replace(goodData, from, to, 1)) }
	for _, test := range []struct {
		name, body string
		want       []string
	}{
		{"no specversion", event("specversion", ""), []string{"0 /specversion must be 1.0"}},
		{"another specversion", event("specversion", `"0.3"`), []string{"0 /specversion must be 1.0"}},
		{"no id", event("id", ""), []string{"0 /id is required"}},
		{"empty id", event("id", `""`), []string{"0 /id is required"}},
		{"long id", event("id", `"`+strings.Repeat("x", 129)+`"`), []string{"0 /id is longer than 128 bytes"}},
		{"id with a control character", event("id", `"a\u0007"`), []string{"0 /id must be printable text without spaces at its ends"}},
		{"numeric id", event("id", `7`), []string{"0 /id must be a text, not a number"}},
		{"numeric type and time", event("type", `7`, "time", `7`), []string{"0 /type must be a text, not a number", "0 /time must be a text, not a number"}},
		{"no source", event("source", ""), []string{"0 /source is required"}},
		{"source that is no URI", event("source", `"the office"`), []string{"0 /source must be a URI reference, for example /sis/north or https://sis.example.org"}},
		{"no type", event("type", ""), []string{"0 /type is required"}},
		{"unknown type", event("type", `"schoolbell.attendance.guessed.v1"`), []string{`0 /type "schoolbell.attendance.guessed.v1" is not in the catalogue`}},
		{"unknown version", event("type", `"schoolbell.attendance.marked.v9"`), []string{`0 /type "schoolbell.attendance.marked.v9" is not in the catalogue`}},
		{"reserved type", event("type", `"schoolbell.document.rendered.v1"`, "data", `{"document_id":"d","kind":"k","student_id":"s","sha256":"`+strings.Repeat("0", 64)+`","bytes":1}`), []string{"0 /type is written by Schoolbell only"}},
		{"another school", event("school", `"south"`), []string{`0 /school must be "north", the school in the address`}},
		{"subject of another", event("subject", `"s-2"`), []string{`0 /subject must agree with the data, which is about "s-1"`}},
		{"time without a zone", event("time", `"2026-09-01T07:45:00"`), []string{"0 /time must be an RFC 3339 time, for example 2021-08-31T07:45:00Z"}},
		{"time that does not exist", event("time", `"2026-02-30T07:45:00Z"`), []string{"0 /time must be an RFC 3339 time, for example 2021-08-31T07:45:00Z"}},
		{"time of long ago", event("time", `"0001-01-01T00:00:00Z"`), []string{"0 /time must lie between 1900 and 2199"}},
		{"attribute that is no name", event("My-Ext", `"x"`), []string{"0 /My-Ext is not an attribute: names have lower-case letters and digits only"}},
		{"required attribute that is null", event("id", `null`), []string{"0 /id is required"}},
		{"leap second in the middle of a day", event("time", `"2026-09-01T07:45:60Z"`), []string{"0 /time must be an RFC 3339 time, for example 2021-08-31T07:45:00Z"}},
		{"attribute that is an object", event("actor", `{"id":1}`), []string{"0 /actor must be a text, not an object"}},
		{"attribute twice", strings.Replace(event(), `"id":"e-1"`, `"id":"e-1","id":"e-2"`, 1), []string{"0 /id is there twice"}},
		{"another content type", event("datacontenttype", `"text/xml"`), []string{"0 /datacontenttype must be a type of JSON, for example application/json"}},
		{"data twice, once in base64", event("data_base64", `"e30="`), []string{"0 /data_base64 must not be there together with data"}},
		{"data in base64 that is none", event("data", "", "data_base64", `"e30"`), []string{"0 /data_base64 is not base64: illegal base64 data at input byte 0"}},
		{"data in base64 that is an object", event("data", "", "data_base64", `{}`), []string{"0 /data_base64 must be a text, not an object"}},
		{"data in base64 that is not JSON", event("data", "", "data_base64", `"PGUvPg=="`), []string{"0 /data is not valid JSON: invalid character '<' at start of value at byte 0"}},
		{"bytes of another type", event("data", "", "data_base64", `"`+base64.StdEncoding.EncodeToString([]byte(goodData))+`"`, "datacontenttype", `"application/avro"`), []string{"0 /datacontenttype must be a type of JSON, for example application/json"}},
		{"no data", event("data", ""), []string{"0 /data is required"}},
		{"data that is null", event("data", "null"), []string{"0 /data must be an object, not null"}},
		{"data that is a list", event("data", "[]"), []string{"0 /data must be an object, not a list"}},
		{"data twice", strings.TrimSuffix(event(), "}") + `,"data":{}}`, []string{"0 /data is there twice"}},
		{"missing field", data(`"student_id":"s-1",`, ""), []string{"0 /data/student_id is required"}},
		{"null field", data(`"s-1"`, "null"), []string{"0 /data/student_id must be a text, not null"}},
		{"wrong type", data(`"s-1"`, "[1]"), []string{"0 /data/student_id must be a text, not a list"}},
		{"field twice", data(`"student_id":"s-1"`, `"student_id":"s-1","student_id":"s-2"`), []string{"0 /data/student_id is there twice"}},
		{"field twice, in disguise", data(`"student_id":"s-1"`, `"student_id":"s-1","student\u005fid":"s-2"`), []string{"0 /data/student_id is there twice"}},
		{"unknown field", data(`"session"`, `"mood":"fine","session"`), []string{"0 /data/mood is not a member of this type"}},
		{"date that does not exist", data("2026-09-01", "2026-02-29"), []string{"0 /data/date must be a date that exists, for example 2021-08-31"}},
		{"empty date", data("2026-09-01", ""), []string{"0 /data/date must be a date that exists, for example 2021-08-31"}},
		{"date of long ago", data("2026-09-01", "1066-10-14"), []string{"0 /data/date must lie between 1900-01-01 and 2199-12-31"}},
		{"date in years to come", data("2026-09-01", "2062-09-08"), []string{"0 /data/date must not lie more than 366 days after the event, which is of 2026-09-01"}},
		{"unknown status", data("present", "asleep"), []string{"0 /data/status must be one of present, late, absent_excused, absent_unexcused"}},
		{"bad UTF-8", data("s-1", "s-\xff"), []string{"0 /data/student_id is not valid UTF-8"}},
		{"half a surrogate pair", data("s-1", `s-\ud800`), []string{"0 /data/student_id is not valid UTF-8"}},
		{"bad UTF-8 in a name", data(`"session"`, "\"m\xffd\":1,\"session\""), []string{"0 /data/m\uFFFDd is not valid UTF-8"}},
		{"several at once", event("id", "", "data", `{"student_id":5,"class_id":"","date":"x","status":"y"}`), []string{
			"0 /id is required", "0 /data/student_id must be a text, not a number",
			"0 /data/date must be a date that exists, for example 2021-08-31", "0 /data/session is required",
			"0 /data/class_id is required", "0 /data/status must be one of present, late, absent_excused, absent_unexcused",
		}},
		{"deep nesting", data(`"session"`, `"deep":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`,"session"`), []string{
			"0 /data/deep is not a member of this type", "0 /data/deep is nested more than 32 levels deep",
		}},
		{"not an object", `"event"`, []string{"0  must be an object, not a text"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, faults(t, parse(cloudevents.StructuredType, test.body)))
		})
	}
}

func TestP9_FeesThatCannotBe(t *testing.T) {
	t.Parallel()
	payment := func(amount string) string {
		return event(
			"type", `"schoolbell.fee.payment_received.v1"`, "data",
			`{"payment_id":"p","invoice_id":"i","student_id":"s","amount":`+amount+`,"currency":"EUR","method":"cash"}`,
		)
	}
	const positive = "0 /data/amount must be a positive number of minor units, at most 1000000000000"
	for amount, want := range map[string]string{
		"-5": positive, "0": positive, "1000000000001": positive,
		"12.5": "0 /data/amount must be a whole number", "1e999": "0 /data/amount must be a whole number",
		"99999999999999999999": "0 /data/amount must be a whole number",
		`"12"`:                 "0 /data/amount must be a whole number, not a text",
	} {
		require.Equal(t, []string{want},
			faults(t, parse(cloudevents.StructuredType, payment(amount))), amount)
	}
	require.NoError(t, parse(cloudevents.StructuredType, payment("1250.0")),
		"a whole number however it is written")
	require.NoError(t, parse(cloudevents.StructuredType, payment("1.25e3")))
}

func TestP9_ScoresThatCannotBe(t *testing.T) {
	t.Parallel()
	scored := func(score string) string {
		return event(
			"type", `"schoolbell.assessment.scored.v1"`, "data",
			`{"assessment_id":"a","student_id":"s","class_id":"c","subject":"maths","score":`+score+
				`,"max_score":20,"year":"2026","term":"1"}`,
		)
	}
	const within = "0 /data/score must lie between 0 and max_score, unless it has extra_credit"
	for score, want := range map[string]string{
		"-1": within, "20.0001": within,
		"1.00001": "0 /data/score must have at most 4 digits after the point",
		"1e999":   "0 /data/score must be a number of a size that can be held",
		`"12"`:    "0 /data/score must be a number, not a text",
	} {
		require.Equal(t, []string{want},
			faults(t, parse(cloudevents.StructuredType, scored(score))), score)
	}
	for _, score := range []string{"0", "19.9999", "1.5e1", "20.00000"} {
		require.NoError(t, parse(cloudevents.StructuredType, scored(score)), score)
	}
}

func TestP9_MalformedBodies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ contentType, body, want string }{
		"empty":                {cloudevents.StructuredType, "", "is empty"},
		"cut off":              {cloudevents.StructuredType, event()[:50], "unexpected EOF"},
		"trailing data":        {cloudevents.StructuredType, event() + "{}", "followed by more than white space"},
		"trailing text":        {cloudevents.StructuredType, event() + "x", "followed by more than white space"},
		"not JSON":             {cloudevents.StructuredType, "<event/>", "invalid character"},
		"ten thousand levels":  {cloudevents.StructuredType, event("data", strings.Repeat("[", 20_000)), "exceeded max depth"},
		"batch cut off":        {cloudevents.BatchType, "[" + event() + "," + event()[:50], "unexpected EOF"},
		"batch trailing data":  {cloudevents.BatchType, "[" + event() + "]]", "followed by more than white space"},
		"batch trailing comma": {cloudevents.BatchType, "[" + event() + ",]", "invalid"},
	} {
		err := parse(test.contentType, test.body)
		var r *cloudevents.Rejection
		require.ErrorAs(t, err, &r, name)
		require.True(t, r.Malformed, name)
		require.Contains(t, r.Faults[len(r.Faults)-1].Reason, test.want, name)
	}
	require.Equal(t, []string{"0  the batch holds no events"},
		faults(t, parse(cloudevents.BatchType, "[]")))
	require.Equal(t, []string{"0  must be a list of events, not an object"},
		faults(t, parse(cloudevents.BatchType, event())))
}

func TestP9_ABatchListsTheFaultsOfAllEvents(t *testing.T) {
	t.Parallel()
	err := parse(
		cloudevents.BatchType, "["+event()+","+event("id", "")+",5,"+event("type", `"x"`)+"]",
	)
	require.Equal(t, []string{
		"1 /id is required",
		"2  must be an object, not a number",
		`3 /type "x" is not in the catalogue`,
	}, faults(t, err))
}

func TestTheDoorHasLimits(t *testing.T) {
	t.Parallel()
	intake := cloudevents.Intake{School: "north", Now: now, MaxEvents: 2}
	header := http.Header{"Content-Type": {cloudevents.BatchType}}
	_, err := intake.Parse(header, []byte("["+event()+","+event()+","+event()+"]"))
	require.ErrorIs(t, err, cloudevents.ErrTooMany)
	events, err := intake.Parse(header, []byte("["+event()+","+event("id", `"e-2"`)+"]"))
	require.NoError(t, err)
	require.Len(t, events, 2)

	var r *cloudevents.Rejection
	err = parse(
		cloudevents.StructuredType, event("data", "{"+strings.Repeat(`"x":1,`, 100_000)+`"x":1}`),
	)
	require.ErrorAs(t, err, &r)
	require.Len(t, r.Faults, 1000)
	require.Positive(t, r.More)
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"", "text/plain", "application/json", "application/xml", "application/cloudevents+xml", "application/cloudevents+json; charset=latin1", "a/b/c"} {
		require.ErrorIs(t, parse(contentType, event()), cloudevents.ErrMediaType, contentType)
	}
	require.NoError(t, parse("Application/CloudEvents+JSON; charset=UTF-8", event()))
}

// What CloudEvents allows and the SDKs send, each from a report about one of them.
func TestEventsAsSDKsSendThem(t *testing.T) {
	t.Parallel()
	encoded := `"` + base64.StdEncoding.EncodeToString([]byte(goodData)) + `"`
	for name, body := range map[string]string{
		"null attributes (Java)":      event("subject", "null", "time", "null", "dataschema", "null", "datacontenttype", "null", "myext", "null", "data_base64", "null"),
		"bytes (Go, Python, .NET)":    event("data", "", "data_base64", encoded, "datacontenttype", `"application/json"`),
		"bytes, without their type":   event("data", "", "data_base64", encoded),
		"a type of its own":           event("datacontenttype", `"application/vnd.sis.mark+json; charset=UTF-8"`),
		"the other name of JSON":      event("datacontenttype", `"text/json"`),
		"numbers and booleans as ext": event("sequence", "7", "sampled", "true"),
	} {
		events, err := cloudevents.Intake{School: "north", Now: now}.Parse(
			http.Header{"Content-Type": {cloudevents.StructuredType}}, []byte(body))
		require.NoError(t, err, name)
		require.Equal(t, now, events[0].Time, name)
		mark, ok := events[0].Data.(*attendance.Marked)
		require.True(t, ok)
		require.Equal(t, "s-1", mark.StudentID, name)
	}
}

func TestTimesOfRFC3339(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-09-01t08:05:00z":         "2026-09-01T08:05:00Z",
		"2016-12-31T23:59:60Z":         "2016-12-31T23:59:59Z",
		"2017-01-01T08:59:60.25+09:00": "2017-01-01T08:59:59.25+09:00",
		"2026-09-01T08:05:00-00:00":    "2026-09-01T08:05:00Z",
	} {
		events, err := cloudevents.Intake{School: "north", Now: now}.Parse(
			http.Header{"Content-Type": {cloudevents.StructuredType}}, []byte(event("time", `"`+text+`"`,
				"data", strings.Replace(goodData, "2026-09-01", text[:len("2006-01-02")], 1))))
		require.NoError(t, err, text)
		require.Equal(t, want, events[0].Time.Format(time.RFC3339Nano), text)
	}
}

func TestWhatMayBeLeftOutIsFilledIn(t *testing.T) {
	t.Parallel()
	events, err := cloudevents.Intake{School: "north", Now: now}.Parse(
		http.Header{
			"Content-Type": {cloudevents.StructuredType},
		},
		[]byte(event("school", "", "ext1", `"kept out"`)),
	)
	require.NoError(t, err)
	e := events[0]
	require.Equal(t, "north", e.School)
	require.Equal(t, "s-1", e.Subject)
	require.Equal(t, now, e.Time)
}

func TestBinaryMode(t *testing.T) {
	t.Parallel()
	header := http.Header{
		"Content-Type": {
			"application/json",
		}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"e%201%25"}, "Ce-Source": {"/sis"},
		"Ce-Type": {
			attendance.TypeMarked,
		}, "Ce-Time": {"2026-09-01T07:45:00+02:00"}, "Ce-Subject": {"s-1"}, "Ce-Actor": {"%C3%89lodie"},
	}
	intake := cloudevents.Intake{School: "north", Now: now}
	events, err := intake.Parse(header, []byte(goodData))
	require.NoError(t, err)
	require.Equal(t, "e 1%", events[0].ID)
	require.Equal(t, "Élodie", events[0].Actor)
	require.Equal(t, "2026-09-01", events[0].Time.Format(time.DateOnly))

	for _, name := range []string{"Élodie", "\xc9lodie"} { // in UTF-8, and as older HTTP has it
		header["Ce-Actor"] = []string{name}
		events, err = intake.Parse(header, []byte(goodData))
		require.NoError(t, err)
		require.Equal(t, "Élodie", events[0].Actor)
	}
	header["Content-Type"] = []string{"application/vnd.sis.mark+json"}
	_, err = intake.Parse(header, []byte(goodData))
	require.NoError(t, err)
	header.Del("Content-Type") // as the first sample of the SDK for Python does
	_, err = intake.Parse(header, []byte(goodData))
	require.NoError(t, err)
	header["Content-Type"] = []string{"application/cloudevents-protobuf+json"}
	_, err = intake.Parse(header, []byte(goodData))
	require.ErrorIs(t, err, cloudevents.ErrMediaType)
	header["Content-Type"] = []string{"application/json"}

	header["Ce-Id"] = []string{"%zz"}
	_, err = intake.Parse(header, []byte(goodData))
	require.Equal(t, []string{"0 /id has a % that is not followed by two hexadecimal digits"},
		faults(t, err))

	header["Ce-Id"] = []string{"a", "b"}
	header["Ce-Actor"] = []string{"%zz"}
	header["Ce-Bad_name"] = []string{"x"}
	_, err = intake.Parse(header, []byte(`{"student_id":`))
	var r *cloudevents.Rejection
	require.ErrorAs(t, err, &r)
	require.True(t, r.Malformed)
	list := strings.Join(faults(t, err), "\n")
	require.Contains(t, list, "0 /id must be in one header only")
	require.Contains(t, list, "0 /actor has a % that is not followed by two hexadecimal digits")
	require.Contains(t, list, "0 /bad_name is not an attribute")
	require.Contains(t, list, "0 /data is not valid JSON: unexpected EOF")
}
