package deliveries_test

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/deliveries"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/query"
)

// What was sent about some students of a school in Auckland, where 20 November begins at 11:00 of the
// 19th, UTC. The comment says who has to be rung.
const missed = `
INSERT INTO schoolbell.ledger (id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue,
	address, about, once, student, priority, template, params, language, sender, depends_on, correlation_id, state, planned_at, changed_at)
SELECT id, school, 'sis', 'e-' || student, 'schoolbell.attendance.marked.v1', 3, 1042, planner, recipient, channel, channel, '+64 21 123456',
	'', '', student, 1, 'absence', '{}', 'de', 'Oak', '', '', state, '2026-11-19T10:00:00Z', '2026-11-19T10:00:00Z'
FROM (VALUES
	('a1', 'oak', 'ana', 'absence', 'g-ana', 'sms', 'failed'), -- to ring: the app's inbox is no telephone
	('a2', 'oak', 'ana', 'absence', 'g-ana', 'in_app', 'delivered'),
	('a3', 'oak', 'ana', 'chronic', 'g-ana', 'email', 'sent'), -- another message
	('b1', 'oak', 'ben', 'absence', 'g-ben', 'sms', 'failed'), -- the other guardian has it
	('b2', 'oak', 'ben', 'absence', 'h-ben', 'sms', 'delivered'),
	('c1', 'oak', 'cem', 'absence', 'g-cem', 'sms', 'failed'), -- of yesterday
	('d1', 'oak', 'dan', 'absence', 'g-dan', 'sms', 'planned'), -- is tried again
	('e1', 'oak', 'eve', 'absence', 'g-eve', 'sms', 'failed'), -- to ring: both failed
	('e2', 'oak', 'eve', 'absence', 'h-eve', 'sms', 'failed'),
	('h1', 'oak', 'hal', 'absence', 'g-hal', 'sms', 'dead'), -- to ring: all attempts failed
	('i1', 'oak', 'ida', 'absence', 'g-ida', 'sms', 'cancelled'), -- it was not so, after an attempt had failed
	('f1', 'oak', 'fay', 'report_card', 'g-fay', 'pdf', 'failed'), -- a document is no message
	('x1', 'elm', 'xia', 'absence', 'g-xia', 'sms', 'failed')
) AS v (id, school, student, planner, recipient, channel, state);
INSERT INTO schoolbell.deliveries (school, delivery_id, status, attempt, channel, recipient, provider, provider_id, cost, error, cause,
	correlation, kind, student_id, sha256, bytes, failed_at, position)
SELECT school, id, CASE WHEN state IN ('planned', 'dead', 'cancelled') THEN 'failed' ELSE state END, 1, channel, recipient, 'twilio', '', 0,
	CASE WHEN state IN ('failed', 'dead') THEN 'no such number' ELSE '' END, event_id, '', '', '', '', 0,
	CASE id WHEN 'c1' THEN '2026-11-19T10:59:59Z'::timestamptz WHEN 'e2' THEN '2026-11-19T11:00:01Z'
		ELSE '2026-11-19T11:00:00Z' END, 1050
FROM schoolbell.ledger;
INSERT INTO schoolbell.students (school, student_id, given_name, family_name, sort_name, class_id, grade_level, photo_url, first_on)
SELECT 'oak', id, initcap(id), 'Li', id, '7a', '', '', '2026-09-01' FROM unnest(ARRAY['ana', 'eve']) id;
INSERT INTO schoolbell.enrolments SELECT 'oak', id, '2026-09-01', NULL, '7a', '2026-09-01', NULL, '' FROM unnest(ARRAY['ana', 'eve']) id;
INSERT INTO schoolbell.guardians (school, guardian_id, name, phone, email, language) SELECT 'oak', id, 'G', '+64 21 1', '', 'en'
FROM unnest(ARRAY['g-ana', 'g-eve', 'h-eve']) id;
INSERT INTO schoolbell.student_guardians (school, student_id, guardian_id, relation, is_primary)
SELECT 'oak', substr(guardian_id, 3), guardian_id, 'mother', guardian_id LIKE 'h%' FROM schoolbell.guardians;`

func TestFamiliesThatNoMessageReachedAreToRing(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), devtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	load, err := conn.Begin(t.Context())
	require.NoError(t, err)
	for _, table := range []string{"ledger", "deliveries", "students", "guardians", "student_guardians", "enrolments"} {
		_, err = load.Exec(t.Context(), "ALTER TABLE schoolbell."+table+" NO FORCE ROW LEVEL SECURITY")
		require.NoError(t, err)
	}
	_, err = load.Exec(t.Context(), missed)
	require.NoError(t, err)
	require.NoError(t, load.Commit(t.Context()))

	auckland, err := time.LoadLocation("Pacific/Auckland")
	require.NoError(t, err)
	get := func(target string) string {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
		projtest.As(t, tx, "oak")
		return projtest.Get(tx, query.Scope{
			School: "oak", Today: domain.NewDate(2026, 11, 20), Settings: query.Settings{Zone: auckland},
			Access: access.Everything(),
		}, deliveries.Queries, target)
	}
	require.Equal(t, `"on": "2026-11-20"
"families": [
  {"student_id": "ana", "given_name": "Ana", "family_name": "Li", "class_id": "7a", `+
		`"messages": [{"delivery_id": "a1", "rule": "absence", "event": "e-ana", "channel": "sms", "recipient": "g-ana", `+
		`"error": "no such number", "failed_at": "2026-11-19T11:00:00Z"}], `+
		`"guardians": [{"guardian_id": "g-ana", "name": "G", "relation": "mother", "phone": "+64 21 1", "language": "en", "primary": false}]}
  {"student_id": "eve", "given_name": "Eve", "family_name": "Li", "class_id": "7a", `+
		`"messages": [{"delivery_id": "e2", "rule": "absence", "event": "e-eve", "channel": "sms", "recipient": "h-eve", `+
		`"error": "no such number", "failed_at": "2026-11-19T11:00:01Z"}, `+
		`{"delivery_id": "e1", "rule": "absence", "event": "e-eve", "channel": "sms", "recipient": "g-eve", `+
		`"error": "no such number", "failed_at": "2026-11-19T11:00:00Z"}], `+
		`"guardians": [{"guardian_id": "h-eve", "name": "G", "relation": "mother", "phone": "+64 21 1", "language": "en", "primary": true}, `+
		`{"guardian_id": "g-eve", "name": "G", "relation": "mother", "phone": "+64 21 1", "language": "en", "primary": false}]}
  {"student_id": "hal", "given_name": "", "family_name": "", "class_id": "", `+
		`"messages": [{"delivery_id": "h1", "rule": "absence", "event": "e-hal", "channel": "sms", "recipient": "g-hal", `+
		`"error": "no such number", "failed_at": "2026-11-19T11:00:00Z"}], "guardians": []}
]
`, get("/deliveries/unreached"))
	page := get("/deliveries/unreached?limit=1")
	require.NotContains(t, page, `"eve"`)
	next := regexp.MustCompile(`"next": "([^"]+)"`).FindStringSubmatch(page)
	require.Len(t, next, 2)
	page = get("/deliveries/unreached?after=" + next[1])
	require.NotContains(t, page, `"ana"`)
	require.Contains(t, page, `"eve"`)
	require.NotContains(t, page, "next")
}
