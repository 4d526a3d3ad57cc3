package deliveries_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/deliveries"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/query"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestScenarios(t *testing.T) {
	t.Parallel()
	projtest.Run(t, "testdata", deliveries.Queries, deliveries.Projection)
}

func TestP8_FoldsAlike(t *testing.T) {
	t.Parallel()
	projtest.FoldsAlike(t, deliveries.Projection)
}

// An SMS that took two attempts and a document, as the ledger and the log know them; and one that waits.
const ledger = `
INSERT INTO schoolbell.ledger (id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue,
	address, about, once, priority, template, params, language, sender, depends_on, correlation_id, state, attempts, provider, provider_id,
	cost, segments, planned_at, changed_at)
SELECT id, school, 'sis', 'e1', 'schoolbell.attendance.marked.v1', 3, 1042, 'absence', recipient, channel, channel, '+49 30 123456', 'ana',
	'', 1, 'absence', '{"student":"Ana"}', 'de', 'Oak', '', 'c1', state, attempts, 'twilio', 'SM1', 7500, 1,
	'2026-11-20T07:00:00Z', '2026-11-20T07:00:00Z'
FROM (VALUES ('d1', 'oak', 'g1', 'sms', 'delivered', 2), ('d2', 'oak', 'g2', 'email', 'planned', 0), ('x1', 'elm', 'g9', 'sms', 'sent', 1))
	AS v (id, school, recipient, channel, state, attempts);
INSERT INTO schoolbell.ledger_log (delivery_id, school, at, fence, what, detail, took_ms, worker) VALUES
	('d1', 'oak', '2026-11-20T07:00:01Z', 1, 'planned', 'temporary (http_503): no', 120, 'w1'),
	('d1', 'oak', '2026-11-20T07:00:04Z', 2, 'sent', '', 80, 'w2'),
	('x1', 'elm', '2026-11-20T07:00:04Z', 1, 'sent', '', 80, 'w2');
INSERT INTO schoolbell.deliveries (school, delivery_id, status, attempt, channel, recipient, provider, provider_id, cost, error, cause,
	correlation, kind, student_id, sha256, bytes, sent_at, delivered_at, position) VALUES
	('oak', 'd1', 'delivered', 2, 'sms', 'g1', 'twilio', 'SM1', 7500, '', 'e1', 'c1', '', '', '', 0,
		'2026-11-20T07:00:04.5Z', '2026-11-20T07:00:09Z', 1050),
	('oak', 'lost', 'sent', 1, 'push', 'g3', 'webpush', '', 0, '', 'e1', 'c1', '', '', '', 0, '2026-11-20T07:00:05Z', NULL, 1051),
	('elm', 'x1', 'sent', 1, 'sms', 'g9', 'twilio', 'SM9', 1, '', 'e1', 'c1', '', '', '', 0, '2026-11-20T07:00:05Z', NULL, 1052);`

func TestStoriesAreToldFromCauseToReceipt(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), devtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	load, err := conn.Begin(t.Context())
	require.NoError(t, err)
	for _, sql := range []string{
		"ALTER TABLE schoolbell.ledger NO FORCE ROW LEVEL SECURITY", "ALTER TABLE schoolbell.ledger_log NO FORCE ROW LEVEL SECURITY",
		"ALTER TABLE schoolbell.deliveries NO FORCE ROW LEVEL SECURITY", ledger,
	} {
		_, err = load.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.NoError(t, load.Commit(t.Context()))

	ask := func(school, target string) string {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
		projtest.As(t, tx, school)
		return projtest.Ask(tx, query.Asked{School: school, Today: domain.DateOf(time.Unix(0, 0))}, deliveries.Queries, target)
	}
	require.Equal(t, `"id": "d1"
"status": "delivered"
"channel": "sms"
"recipient": "g1"
"provider": "twilio"
"provider_id": "SM1"
"cost": 7500
"event": "e1"
"correlation": "c1"
"sent_at": "2026-11-20T07:00:04.5Z"
"delivered_at": "2026-11-20T07:00:09Z"
"plan": {"event": {"id": "e1", "source": "sis", "type": "schoolbell.attendance.marked.v1", "position": "3:1042"}, "planner": "absence", `+
		`"about": "ana", "template": "absence", "params": {"student": "Ana"}, "language": "de", "priority": 1, "queue": "sms", `+
		`"planned_at": "2026-11-20T07:00:00Z", "state": "delivered", "attempts": 2, "segments": 1}
"steps": [
  {"at": "2026-11-20T07:00:00Z", "what": "planned", "detail": "absence because of schoolbell.attendance.marked.v1"}
  {"at": "2026-11-20T07:00:01Z", "what": "planned", "attempt": 1, "detail": "temporary (http_503): no", "took_ms": 120, "worker": "w1"}
  {"at": "2026-11-20T07:00:04Z", "what": "sent", "attempt": 2, "took_ms": 80, "worker": "w2"}
  {"at": "2026-11-20T07:00:04.5Z", "what": "log: sent", "detail": "SM1"}
  {"at": "2026-11-20T07:00:09Z", "what": "log: delivered", "detail": "SM1"}
]
`, ask("oak", "/deliveries/d1"))
	require.NotContains(t, ask("oak", "/deliveries/d1"), "+49", "addresses are nobody's business")
	require.Contains(t, ask("oak", "/deliveries/d2"), `"status": "planned"`)
	require.Contains(t, ask("oak", "/deliveries/lost"), `"what": "log: sent"`, "the log alone tells its part")

	told := ask("oak", "/deliveries?event=e1")
	for _, part := range []string{`"id": "d1", "status": "delivered"`, `"id": "d2", "status": "planned"`, `"id": "lost", "status": "sent"`} {
		require.Contains(t, told, part)
	}
	require.Contains(t, ask("oak", "/deliveries?event=e1&channel=push"), `"id": "lost"`)
	require.NotContains(t, ask("oak", "/deliveries?event=e1&channel=push"), `"id": "d`)
	require.NotContains(t, ask("oak", "/deliveries?event=e1&status=sent"), `"id": "d`)

	t.Run("P10", func(t *testing.T) {
		require.Equal(t, "404 delivery \"x1\": not found\n", ask("oak", "/deliveries/x1"))
		require.NotContains(t, told, "x1")
		require.Contains(t, ask("elm", "/deliveries/x1"), `"id": "x1"`)
	})
}
