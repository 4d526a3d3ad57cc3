package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

// appendGarbage writes to Kafka by hand what says of itself that it is an event. Of a newer version
// of a type it may be one, so it is parked.
func appendGarbage(
	t *testing.T, broker *devstack.Kafka, school, subject, eventType string,
) domain.Position {
	t.Helper()
	log, err := kafka.Open(t.Context(), kafka.Config{Brokers: broker.Brokers()}, testLog(t), nil)
	require.NoError(t, err)
	defer log.Close()
	at, err := log.Append(t.Context(), school, []eventlog.Record{{
		Key: []byte(school), Value: []byte("\xff no event"), Headers: []eventlog.Header{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte("g-" + subject)},
			{Key: "ce_source", Value: []byte("/sis")},
			{Key: "ce_type", Value: []byte(eventType)},
			{Key: "ce_subject", Value: []byte(subject)},
			{Key: "ce_school", Value: []byte(school)},
		},
	}})
	require.NoError(t, err)
	return at
}

func TestP9_OperatorsLookAfterWhatIsParked(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	a := startApp(t, func(c *config.Config) { c.Kafka.Brokers = broker.Brokers(); c.Projections.MaxParked = 1 })
	at := appendGarbage(t, broker, "north", "s1", "schoolbell.student.enrolled.v99")
	var list string
	require.Eventually(t, func() bool {
		code, stdout, _ := command(t, "parked", "list", "--database-url", a.Database)
		list = stdout
		return code == exitDone && stdout != "Nothing is parked.\n"
	}, 20*time.Second, 20*time.Millisecond)
	require.Contains(t, list, "north")
	require.Contains(t, list, "s1")
	require.Regexp(t, at.String()+`-[0-9a-z]{5}\b`, list)

	code, shown, stderr := command(t, "parked", "show", "north", "s1", "--database-url", a.Database)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, shown, "no event")
	code, retried, stderr := command(t, "parked", "retry", "north", "--database-url", a.Database)
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, "1 subject will be retried now.\n", retried)
	require.Eventually(t, func() bool {
		_, list, _ = command(t, "parked", "list", "--json", "--database-url", a.Database)
		return strings.Contains(list, `"attempts": 2`)
	}, 20*time.Second, 20*time.Millisecond, "the partition worker retries on request")

	// A response that there is no such student may lack that student's events as well.
	appendGarbage(t, broker, "north", "s2", "schoolbell.student.enrolled.v99")
	require.Eventually(t, func() bool {
		resp, _ := a.call(t, http.MethodGet, a.HTTP+"/v1/schools/north/students/s2", "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("Schoolbell-Position"))
		return resp.Header.Get("Schoolbell-Parked-From") != "" &&
			resp.Header.Get("Schoolbell-Parked") != "0"
	}, 20*time.Second, 20*time.Millisecond)

	unknown := [][]string{
		{"parked", "list", "--school", "nosuch"},
		{"parked", "show", "nosuch", "s1"},
		{"parked", "retry", "nosuch"},
		{"parked", "retry", "north", "nobody"},
	}
	for i := range unknown {
		unknown[i] = append(unknown[i], "--database-url", a.Database)
	}
	for _, args := range [][]string{{"rebuild", "--school", "nosuch"}, {"verify", "--school", "nosuch"}} {
		unknown = append(unknown, append(a.withLog(args...), "--database-url", a.Database))
	}
	for _, args := range unknown {
		code, stdout, stderr := command(t, args...)
		require.Equal(t, exitFailed, code, "%v: %s", args, stdout)
		require.Regexp(t, "no such school|is not parked", stderr)
	}
}
