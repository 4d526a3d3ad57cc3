package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/verify"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// jobs runs a command about jobs or dead letters of a running program, which must exit with a code,
// and reads what it prints.
func (a *app) jobs(t *testing.T, code int, into any, args ...string) {
	t.Helper()
	if args[0] != "deadletters" {
		args = append([]string{"jobs"}, args...)
	}
	args = append(args, "--json")
	if slices.Contains([]string{"verify", "reset"}, args[1]) {
		args = append(args, "--database-url", a.Database)
	} else {
		args = append(args, a.remote()...)
	}
	got, stdout, stderr := command(t, args...)
	require.Equal(t, code, got, "%v: %s%s", args, stdout, stderr)
	if into != nil {
		require.NoError(t, json.Unmarshal([]byte(stdout), into), stdout)
	}
}

// remote names the API.
func (a *app) remote() []string { return []string{"--url", a.HTTP, "--token", a.token} }

// list returns the deliveries of a state.
func (a *app) list(t *testing.T, state string) []*ledger.Entry {
	t.Helper()
	var page httpapi.LedgerPage
	a.jobs(t, exitDone, &page, "list", "--state", state)
	return page.Deliveries
}

func (a *app) eventually(t *testing.T, state string, n int) []*ledger.Entry {
	t.Helper()
	require.Eventually(
		t, func() bool { return len(a.list(t, state)) == n }, 30*time.Second, 50*time.Millisecond,
		"want %d that are %s", n, state,
	)
	return a.list(t, state)
}

func (a *app) sql(t *testing.T, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.Database)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "SET ROLE schoolbell_jobs; "+sql)
	require.NoError(t, err)
}

// withLog names the log too.
func (a *app) withLog(args ...string) []string {
	return kafkaArgs(a, args...)
}

// family is a student with a guardian who can be reached.
func family(school, n string) []map[string]any {
	return []map[string]any{
		event(school, "enrolled-"+n, "schoolbell.student.enrolled.v1", n, map[string]any{
			"student_id": n, "given_name": "Ama", "family_name": "Diallo", "class_id": "7a", "on": "2026-09-01",
		}),
		event(school, "linked-"+n, "schoolbell.guardian.linked.v1", n, map[string]any{
			"guardian_id": "g-" + n, "student_id": n, "name": "Awa Diallo", "relation": "mother", "phone": "+2250102030405", "primary": true,
		}),
	}
}

func absent(school, n string) map[string]any {
	return event(school, "absent-"+n, "schoolbell.attendance.marked.v1", n, map[string]any{
		"student_id": n, "class_id": "7a", "date": time.Now().UTC().Format(time.DateOnly), "session": "day", "status": "absent_unexcused",
	})
}

func TestOperatorsLookAfterJobs(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	a.publish(t, "oak", append(family("oak", "st1"), absent("oak", "st1"))...)
	first := a.eventually(t, "sent", 1)[0]
	var shown ledger.Entry
	a.jobs(t, exitDone, &shown, "show", first.ID)
	require.Equal(t, "absence", shown.Planner)
	require.Len(t, shown.Log, 1)

	a.jobs(t, exitUsage, nil, "list", "--state", "lost")

	a.jobs(t, exitDone, nil, "pause", "sms")
	a.publish(t, "oak", append(family("oak", "st2"), absent("oak", "st2"))...)
	waiting := a.eventually(t, "planned", 1)[0]
	a.jobs(t, exitUsage, nil, "cancel", "--school", "oak") // there is no terminal to confirm at
	a.jobs(t, exitDone, nil, "cancel", "--school", "oak", "--yes")
	require.Equal(t, waiting.ID, a.eventually(t, "cancelled", 1)[0].ID)
	a.jobs(t, exitDone, nil, "retry", waiting.ID)
	a.eventually(t, "planned", 1)

	// River's table is lost.
	a.sql(t, `DELETE FROM schoolbell_river.river_job`)
	var repaired map[string]int
	a.jobs(t, exitDone, &repaired, "repair", "--after", "0s")
	require.Equal(t, 1, repaired["repaired"])
	a.jobs(t, exitDone, nil, "resume", "sms")
	a.eventually(t, "sent", 2)

	// A delivery that was deleted is found, and planned again.
	var checked verify.Result
	a.jobs(t, exitDone, &checked, a.withLog("verify")...)
	require.Equal(t, 2, checked.Deliveries)
	a.sql(t, `DELETE FROM schoolbell.ledger WHERE id = '`+first.ID+`'`)
	a.jobs(t, exitFailed, &checked, a.withLog("verify")...)
	require.Equal(t, "missing", checked.Findings[0].Kind)
	a.jobs(t, exitUsage, nil, "reset", "--to", "start")
	a.jobs(t, exitUsage, nil, "reset", "--to", "beginning", "--yes")
	var reset map[string]int
	a.jobs(t, exitDone, &reset, "reset", "--to", first.Position.String(), "--again", "--yes")
	require.Equal(t, 1, reset["partitions"])
	require.Equal(t, first.ID, a.eventually(t, "sent", 2)[0].ID)
	a.jobs(t, exitDone, nil, a.withLog("verify")...)
}

func TestSchoolsDecideByCommand(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	file := filepath.Join(t.TempDir(), "settings.json")
	write := func(settings string) { require.NoError(t, os.WriteFile(file, []byte(settings), 0o600)) }
	var now settingsView
	a.jobs(t, exitDone, &now, "settings", "get", "--school", "oak")
	require.Equal(t, settingsView{School: "oak", Settings: &consumers.Settings{}}, now)

	write(
		`{"time_zone":"Europe/Paris","reminders":{"most":3},"rules":{"absence":{"channels":["sms","push"]}}}`,
	)
	a.jobs(t, exitDone, &now, "settings", "set", "--school", "oak", file)
	require.EqualValues(t, 1, now.Version)
	_, printed, _ := command(
		t,
		append([]string{"jobs", "settings", "get", "--school", "oak"}, a.remote()...)...)
	require.Contains(t, printed, `"time_zone": "Europe/Paris"`)
	write(printed)
	a.jobs(t, exitDone, &now, "settings", "set", "--school", "oak", file)
	require.EqualValues(t, 2, now.Version)
	code, _, stderr := command(
		t,
		append(
			[]string{"jobs", "settings", "set", "--school", "oak", file, "--over", "1"},
			a.remote()...)...)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "412")

	write(`{"time_zone":"Paris","quiet":{"from":"20:00","to":"07:00"},"reminders":{"most":-1}}`)
	code, _, stderr = command(t,
		append([]string{"jobs", "settings", "set", "--school", "oak", file}, a.remote()...)...)
	require.Equal(t, exitFailed, code)
	require.Equal(t, "schoolbell: settings: /time_zone must be a time zone, for example Africa/Abidjan\n"+
		"schoolbell: settings: /reminders/most must be between 0 and 50\n", stderr)
	var refused struct {
		Errors []domain.Fault `json:"errors"`
	}
	a.jobs(t, exitFailed, &refused, "settings", "set", "--school", "oak", file)
	require.Equal(t, "/time_zone", refused.Errors[0].Pointer)
}

func TestP9_EventsThatCannotBePlannedAreLookedAfter(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	a := startApp(t, func(c *config.Config) { c.Kafka.Brokers = broker.Brokers() })
	appendGarbage(t, broker, "oak", "st9", "schoolbell.attendance.marked.v99")
	a.publish(t, "oak", append(family("oak", "st1"), absent("oak", "st1"))...)
	sent := a.eventually(t, "sent", 1)[0]
	var letters httpapi.DeadLetters
	a.jobs(t, exitDone, &letters, "deadletters", "list", "--school", "oak")
	require.Len(t, letters.DeadLetters, 1)
	require.Contains(t, letters.DeadLetters[0].Reason, "read the event")
	var shown httpapi.DeadLetter
	a.jobs(t, exitDone, &shown, "deadletters", "show", letters.DeadLetters[0].Position.String())
	require.Equal(t, letters.DeadLetters[0].Reason, shown.Reason)
	var retried deadLettersRetried
	a.jobs(t, exitFailed, &retried, "deadletters", "retry")
	require.Equal(t, 0, retried.Done)
	require.Len(t, retried.Remaining, 1, "it still cannot be read")

	// One that a planner could not handle, before the planner was fixed.
	a.sql(
		t,
		`DELETE FROM schoolbell.ledger; INSERT INTO schoolbell.dead_letters (partition, log_offset, school, event_id, type, reason)
		VALUES (`+strings.Replace(sent.Position.Position.String(), ":", ", ", 1)+`, 'oak', 'absent-st1', 'x', 'planner panicked')`,
	)
	a.jobs(t, exitFailed, nil, "deadletters", "retry", "0:99999")
	a.jobs(t, exitFailed, nil, "deadletters", "show", "0:99999")
	a.jobs(t, exitDone, &retried, "deadletters", "retry", sent.Position.String())
	require.Equal(t, deadLettersRetried{Done: 1, Remaining: []httpapi.DeadLetter{}}, retried)
	require.Equal(t, sent.ID, a.eventually(t, "sent", 1)[0].ID)
	a.jobs(t, exitDone, &letters, "deadletters", "list")
	require.Len(t, letters.DeadLetters, 1)

	// A stranger's records fill more than a page of the list.
	const strangers = 2500
	a.sql(t, fmt.Sprintf(`INSERT INTO schoolbell.deadletters (kind, topic, partition, log_offset,
		last_offset, school, event_id, type, faults)
		SELECT 'log', '', 1, n, n, '', 'e', 't', '[]' FROM generate_series(1, %d) n;
		INSERT INTO schoolbell.deadletters (kind, topic, partition, log_offset, last_offset, school,
			event_id, type, faults, record)
		VALUES ('inbox', 'schoolbell.inbox', 0, 1, 1, 'oak', 'latest', 't', '[]', NULL)`, strangers))
	var page httpapi.DeadLetters
	a.jobs(t, exitDone, &page, "deadletters", "list")
	require.Len(t, page.DeadLetters, strangers+2)
	require.Equal(t, "latest", page.DeadLetters[strangers+1].EventID)
	a.jobs(t, exitDone, &letters, "deadletters", "list", "--kind", "inbox")
	require.Len(t, letters.DeadLetters, 1)
	a.jobs(t, exitFailed, &retried, "deadletters", "retry")
	require.Len(t, retried.Remaining, 2, "what cannot be read, and the one of the inbox")
	a.jobs(t, exitFailed, &retried, "deadletters", "retry", page.DeadLetters[strangers].ID)
	require.Contains(t, retried.Remaining[0].Reason, "stays skipped")
}
