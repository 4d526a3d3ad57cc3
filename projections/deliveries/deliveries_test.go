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

func TestMain(m *testing.M) { devtest.Main(m) }

func TestScenarios(t *testing.T) {
	t.Parallel()
	projtest.Run(t, "testdata", deliveries.Queries, deliveries.Projection)
}

func TestP8_FoldsAlike(t *testing.T) {
	t.Parallel()
	projtest.FoldsAlike(t, deliveries.Projection)
}

// An SMS that took two attempts and a document, as the ledger and the log know them; and one that
// waits.
const ledger = `
INSERT INTO schoolbell.ledger (id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue,
	address, about, once, priority, template, params, language, sender, depends_on, correlation_id, state, attempts, provider, provider_id,
	cost, segments, planned_at, changed_at)
SELECT id, school, 'sis', 'e1', 'schoolbell.attendance.marked.v1', 3, 1042, 'absence', recipient, channel, channel, '+49 30 123456', 'ana',
	'', 1, 'absence', '{"student":"Ana"}', 'de', 'Oak', '', 'c1', state, attempts, 'twilio', 'SM1', 7500, 1,
	planned_at::timestamptz, planned_at::timestamptz
FROM (VALUES ('d1', 'oak', 'g1', 'sms', 'delivered', 2, '2026-11-20T07:00:00Z'), ('d2', 'oak', 'g2', 'email', 'planned', 0, '2026-11-20T07:00:01Z'),
	('d3', 'oak', 'g2', 'email', 'dead', 3, '2026-11-20T06:00:00Z'), ('x1', 'elm', 'g9', 'sms', 'sent', 1, '2026-11-20T07:00:00Z'))
	AS v (id, school, recipient, channel, state, attempts, planned_at);
UPDATE schoolbell.ledger SET cost = 0 WHERE id = 'd3';
INSERT INTO schoolbell.ledger_trouble VALUES ('d3', 'oak', 'dead'), ('x1', 'elm', 'dead');
INSERT INTO schoolbell.ledger_log (delivery_id, school, at, fence, what, detail, took_ms, worker) VALUES
	('d1', 'oak', '2026-11-20T07:00:01Z', 1, 'planned', 'temporary (http_503): no', 120, 'w1'),
	('d1', 'oak', '2026-11-20T07:00:04Z', 2, 'sent', '', 80, 'w2'),
	('x1', 'elm', '2026-11-20T07:00:04Z', 1, 'sent', '', 80, 'w2');
INSERT INTO schoolbell.deliveries (school, delivery_id, status, attempt, channel, recipient, provider, provider_id, cost, error, cause,
	correlation, kind, student_id, sha256, bytes, sent_at, delivered_at, position) VALUES
	('oak', 'd1', 'delivered', 2, 'sms', 'g1', 'twilio', 'SM1', 7500, '', 'e1', 'c1', '', '', '', 0,
		'2026-11-20T07:00:04.5Z', '2026-11-20T07:00:09Z', 1050),
	('oak', 'd3', 'failed', 1, 'email', 'g2', 'smtp', '', 0, 'no such mailbox', 'e1', 'c1', '', '', '', 0, NULL, NULL, 1049),
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
		"ALTER TABLE schoolbell.ledger NO FORCE ROW LEVEL SECURITY",
		"ALTER TABLE schoolbell.ledger_log NO FORCE ROW LEVEL SECURITY",
		"ALTER TABLE schoolbell.ledger_trouble NO FORCE ROW LEVEL SECURITY",
		"ALTER TABLE schoolbell.deliveries NO FORCE ROW LEVEL SECURITY", ledger,
	} {
		_, err = load.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.NoError(t, load.Commit(t.Context()))

	as := func(self, school, target string) string {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
		projtest.As(t, tx, school)
		scope := query.Scope{
			School: school, Today: domain.DateOf(time.Unix(0, 0)), Self: self,
			Access: access.Everything(),
		}
		return projtest.Get(tx, scope, deliveries.Queries, target)
	}
	get := func(school, target string) string { return as("", school, target) }
	require.Equal(t, `"id": "d1"
"status": "delivered"
"channel": "sms"
"recipient": "g1"
"provider": "twilio"
"provider_id": "SM1"
"cost": 7500
"event": "e1"
"rule": "absence"
"correlation": "c1"
"planned_at": "2026-11-20T07:00:00Z"
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
`, get("oak", "/deliveries/d1"))
	require.NotContains(t, get("oak", "/deliveries/d1"), "+49", "addresses are nobody's business")
	require.Contains(t, get("oak", "/deliveries/d2"), `"status": "planned"`)
	require.Contains(t, get("oak", "/deliveries/lost"), `"what": "log: sent"`,
		"the log alone tells its part")

	totals := get("oak", "/deliveries?event=e1")
	for _, part := range []string{
		`"id": "d1", "status": "delivered"`, `"id": "d2", "status": "planned"`,
		`"id": "d3", "status": "dead"`, `"id": "lost", "status": "sent"`,
		`"totals": {"deliveries": 4, "cost": 15000, "by_status": {"dead": 1, "delivered": 1, "planned": 1, "sent": 1}, "by_channel": {"email": 2, "push": 1, "sms": 1}}`,
	} {
		require.Contains(t, totals, part)
	}
	ids := func(answer string) (ids []string) {
		for _, m := range regexp.MustCompile(`\{"id": "([^"]+)"`).FindAllStringSubmatch(answer,
			-1) {
			ids = append(ids, m[1])
		}
		return ids
	}
	for target, want := range map[string][]string{
		// the latest planned first, and then what only the log has
		"":                            {"d2", "d1", "d3", "lost"},
		"?channel=push":               {"lost"},
		"?channel=email":              {"d2", "d3"},
		"?recipient=g1":               {"d1"},
		"?recipient=g9":               nil,
		"?status=planned":             {"d2"},
		"?status=dead":                {"d3"},
		"?status=unknown":             nil,
		"?status=sent":                {"lost"},
		"?status=delivered":           {"d1"},
		"?status=failed":              nil, // d3 was, and has been tried again since
		"?event=e1&status=sent":       {"lost"},
		"?event=e2":                   nil,
		"?event=e1&channel=sms":       {"d1"},
		"?status=delivered&event=e1":  {"d1"},
		"?recipient=g3&status=sent":   {"lost"},
		"?recipient=g1&status=failed": nil,
	} {
		require.Equal(t, want, ids(get("oak", "/deliveries"+target)), target)
	}
	for _, filter := range []string{"", "&event=e1"} {
		var paged []string
		after := ""
		for range 4 {
			page := get("oak", "/deliveries?limit=1"+filter+after)
			paged = append(paged, ids(page)...)
			if next := regexp.MustCompile(`"next": "([^"]+)"`).FindStringSubmatch(page); next != nil {
				after = "&after=" + next[1]
			} else {
				after = ""
			}
		}
		require.Equal(t, []string{"d2", "d1", "d3", "lost"}, paged)
		require.Empty(t, after, "the last page says so")
	}
	require.Contains(t, get("oak", "/deliveries?after=bm90aGluZw"), "422 ")

	t.Run("P10 self", func(t *testing.T) {
		mine := as("g1", "oak", "/deliveries")
		require.Equal(t, []string{"d1"}, ids(mine))
		require.Empty(t, ids(as("g1", "oak", "/deliveries?recipient=g2")))
		require.NotContains(t, as("g1", "oak", "/deliveries?event=e1"), "totals")
		mine += as("g1", "oak", "/deliveries/d1")
		require.Contains(t, mine, `"status": "delivered"`)
		for _, secret := range []string{"twilio", "SM1", "7500", "absence", "plan\"", "w1", "c1"} {
			require.NotContains(t, mine, secret, "how and for how much is the school's business")
		}
		for _, other := range []string{"d2", "lost", "x1", "d9"} {
			require.Contains(t, as("g1", "oak", "/deliveries/"+other), "404 ")
		}
	})
	t.Run("P10", func(t *testing.T) {
		require.Equal(t, "404 delivery \"x1\": not found\n", get("oak", "/deliveries/x1"))
		require.NotContains(t, totals, "x1")
		require.Contains(t, get("elm", "/deliveries/x1"), `"id": "x1"`)
	})
}
