package cloudevents_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

func detailsChanged(data string) ([]*domain.Envelope, error) {
	return cloudevents.Intake{School: "north", Now: now}.Parse(
		http.Header{"Content-Type": {cloudevents.StructuredType}},
		[]byte(event("type", `"`+student.TypeDetailsChanged+`"`, "data", data)))
}

func TestAbsentIsUnchangedAndNullRemoves(t *testing.T) {
	t.Parallel()
	events, err := detailsChanged(`{"student_id":"s-1","given_name":"Ada","birth_date":null,
		"grade_level":7,"identifiers":null,"email":"ada@example.org"}`)
	require.NoError(t, err)
	want := &student.DetailsChanged{
		StudentID: "s-1", GivenName: "Ada",
		BirthDate:   domain.Removed[domain.Date](),
		GradeLevel:  domain.To(domain.Label("7")),
		Email:       domain.To("ada@example.org"),
		Identifiers: domain.Removed[[]string](),
	}
	require.Equal(t, want, events[0].Data)

	rec, err := cloudevents.Encode(events[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"student_id":"s-1","given_name":"Ada","birth_date":null,"grade_level":"7",
		"email":"ada@example.org","identifiers":null}`, string(rec.Value))
	again, err := cloudevents.Decode(rec)
	require.NoError(t, err)
	require.Equal(t, want, again.Data)
}

// A form that was not filled in must not remove what is known.
func TestP9_AnEmptyValueIsNoRemoval(t *testing.T) {
	t.Parallel()
	const reason = "must not be empty: null removes it, and absent it stays as it is"
	_, err := detailsChanged(`{"student_id":"s-1","email":"","grade_level":"","identifiers":[],
		"birth_date":"","given_name":null,"preferred_name":7}`)
	require.ElementsMatch(t, []string{
		"0 /data/email " + reason,
		"0 /data/grade_level " + reason,
		"0 /data/identifiers " + reason,
		"0 /data/birth_date must be a date that exists, for example 2021-08-31",
		"0 /data/given_name must be a text, not null",
		"0 /data/preferred_name must be a text, not a number",
	}, faults(t, err))
}
