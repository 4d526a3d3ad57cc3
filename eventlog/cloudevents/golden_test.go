package cloudevents_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// goldens are all events that were ever published, one of each type and version, as structured
// CloudEvents.
func goldens(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../domain/*/testdata/*.json")
	require.NoError(t, err)
	all := map[string][]byte{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		context := filepath.Base(filepath.Dir(filepath.Dir(file)))
		var event struct {
			Type string         `json:"type"`
			Data jsontext.Value `json:"data"`
		}
		require.NoError(t, json.Unmarshal(b, &event), file)
		require.True(
			t, event.Type != "" && event.Data.Kind() == '{',
			"%s: a golden is a whole structured CloudEvent, with specversion, id, source, type and data",
			file,
		)
		all["schoolbell."+context+"."+strings.TrimSuffix(filepath.Base(file), ".json")] = b
	}
	return all
}

// published is a structured event as its producer's record in the log.
func published(t testing.TB, structured []byte) eventlog.Record {
	t.Helper()
	var members map[string]jsontext.Value
	require.NoError(t, json.Unmarshal(structured, &members))
	rec := eventlog.Record{Value: members["data"]}
	for name, value := range members {
		if name == "data" {
			continue
		}
		text, err := jsontext.AppendUnquote(nil, value)
		require.NoError(t, err)
		key := "ce_" + name
		switch name {
		case "datacontenttype":
			key = "content-type"
		case "school":
			rec.Key = text
		}
		rec.Headers = append(rec.Headers, eventlog.Header{Key: key, Value: text})
	}
	return rec
}

func canonical(t testing.TB, b []byte) string {
	t.Helper()
	v := jsontext.Value(bytes.Clone(b))
	require.NoError(t, v.Canonicalize())
	return string(v)
}

func TestEveryVersionEverPublishedIsRead(t *testing.T) {
	t.Parallel()
	all := goldens(t)
	for _, fact := range catalog.Facts() {
		golden, ok := all[fact.Type]
		context, name, version := fact.Name()
		require.True(t, ok, "%s has no golden: want domain/%s/testdata/%s.v%d.json", fact.Type,
			context, name, version)
		delete(all, fact.Type)

		e, err := cloudevents.Decode(published(t, golden))
		require.NoError(t, err, fact.Type)
		require.Equal(t, fact.Type, e.Type)
		again, err := cloudevents.Encode(e)
		require.NoError(t, err)
		twice, err := cloudevents.Decode(again)
		require.NoError(t, err)
		if fact.Upcast == nil {
			structured, err := cloudevents.AppendStructured(nil, e)
			require.NoError(t, err)
			require.Equal(t, canonical(t, golden), canonical(t, structured), fact.Type)
			require.Empty(t, cmp.Diff(e.Data, twice.Data))
		}
	}
	require.Empty(t, all, "goldens of types that the catalogue has forgotten")
}

func TestMarksOfThePredecessorAreUpcast(t *testing.T) {
	t.Parallel()
	e, err := cloudevents.Decode(published(t, goldens(t)[attendance.TypeMarkedV0]))
	require.NoError(t, err)
	require.Equal(t, &attendance.Marked{
		StudentID: "s-1042", ClassID: "c-4b", Date: domain.NewDate(2025, 11, 20),
		Session: "day", Status: attendance.AbsentExcused, Reason: "dentist",
	}, e.Data)
	require.Equal(t, attendance.TypeMarkedV0, e.Type, "the envelope has the published type")

	rec, err := cloudevents.Encode(e)
	require.NoError(t, err)
	now, err := cloudevents.Decode(rec)
	require.NoError(t, err)
	require.Equal(t, attendance.TypeMarked, now.Type,
		"what is written again is of the newest version")
	require.Equal(t, e.Data, now.Data)
}

// The same waiver in two events without an id is one waiver, and it can be named.
func TestWaiversWithoutAnIDGetOne(t *testing.T) {
	t.Parallel()
	e, err := cloudevents.Decode(published(t, goldens(t)[fee.TypeWaivedV1]))
	require.NoError(t, err)
	w, ok := e.Data.(*fee.Waived)
	require.True(t, ok)
	require.Equal(t, "w-7ed6e9cacc2cce98", w.WaiverID, "must be the same in every release")
	require.Equal(t, w.WaiverID, fee.DerivedWaiverID(w.InvoiceID, w.Amount, w.Reason))
	require.NotEqual(t, w.WaiverID, fee.DerivedWaiverID(w.InvoiceID, w.Amount+1, w.Reason))

	named := bytes.Replace(goldens(t)[fee.TypeWaivedV1], []byte(`"data": {`),
		[]byte(`"data": {"waiver_id": "w-7",`), 1)
	e, err = cloudevents.Decode(published(t, named))
	require.NoError(t, err)
	require.Equal(t, "w-7", e.Data.(*fee.Waived).WaiverID)
}

func TestTheDoorTakesEveryGoldenThatIsNotReserved(t *testing.T) {
	t.Parallel()
	for _, fact := range catalog.Facts() {
		header := http.Header{"Content-Type": {cloudevents.StructuredType}}
		events, err := cloudevents.Intake{School: "northfield"}.Parse(header, goldens(t)[fact.Type])
		if fact.Reserved {
			require.ErrorContains(t, err, "/type is written by Schoolbell only")
			continue
		}
		require.NoError(t, err, fact.Type)
		fromLog, err := cloudevents.Decode(published(t, goldens(t)[fact.Type]))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(fromLog, events[0]))
	}
}
