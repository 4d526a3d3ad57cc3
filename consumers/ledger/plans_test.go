package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
)

// TestNothingReadsTheWholeLedger runs all everyday operations on a large ledger, and then checks the
// server's statistics for sequential scans of its tables.
func TestNothingReadsTheWholeLedger(t *testing.T) {
	t.Parallel()
	w := setup(t)
	load(t, w, 30_000)
	before := scans(t, w.url)

	inside := setupWith(t, w.url)
	broken := newProvider(func(_ context.Context, d *consumers.Delivery, _ int) (consumers.Receipt, error) {
		if d.Recipient == "g1" {
			return consumers.Receipt{}, &consumers.SendError{Class: consumers.Temporary, Err: context.DeadlineExceeded}
		}
		return consumers.Receipt{ProviderID: "p-" + d.ID}, nil
	})
	l := inside.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, broken)(cfg)
		cfg.Attempts = 2
	})
	pl := plan("s7", "today", 40_000, "g1", "g2", "g3")
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	stop := run(t, l)
	id := ids(pl)
	require.Eventually(t, func() bool {
		e, err := l.Show(t.Context(), id[0])
		require.NoError(t, err)
		last, err := l.Show(t.Context(), id[2])
		require.NoError(t, err)
		return e.State == consumers.Dead && last.State == consumers.Sent
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, l.Receive(t.Context(), consumers.Report{Provider: "remembering", ProviderID: "p-" + id[1], State: consumers.Delivered}))
	require.NoError(t, l.Cancel(t.Context(), id[0], "me"))
	for _, f := range []ledger.Filter{
		{},
		{Limit: 5, After: id[1]},
		{School: "s7"},
		{School: "s7", EventID: "today"},
		{EventID: "today"},
		{State: consumers.Dead},
		{State: consumers.Unknown, Queue: ledger.QueueSMS},
		{Planner: "absence"},
		{School: "s7", State: consumers.Sent, After: id[1]},
	} {
		_, err := l.List(t.Context(), f)
		require.NoError(t, err)
	}
	stop()
	inside.pool.Close() // then the statistics are complete
	require.Equal(t, before, scans(t, w.url))
}

// load fills a ledger with deliveries that were done.
func load(t *testing.T, w *world, n int) {
	t.Helper()
	_, err := w.pool.Exec(t.Context(), `
		INSERT INTO schoolbell.ledger (id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue, address,
			about, once, priority, template, params, language, sender, depends_on, correlation_id, state, fence, provider, provider_id, planned_at)
		SELECT md5(i::text), 's' || i % 20, 'test', 'e' || i, 'x', 0, i, 'absence', 'g', 'sms', 'sms', '', '', '', 3, 'absence', '{}', 'en', '', '', '',
			'sent', 1, 'remembering', 'x' || i, now() - i * interval '1 second'
		FROM generate_series(1, $1) i`, n)
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), `INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail) SELECT id, school, 1, 'sent', '' FROM schoolbell.ledger`)
	require.NoError(t, err)
	owner := owner(t, w.url)
	_, err = owner.Exec(t.Context(), `ANALYZE schoolbell.ledger, schoolbell.ledger_log`)
	require.NoError(t, err)
	w.pool.Close()
}

func owner(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// scans returns how often the large tables were read from one end to the other.
func scans(t *testing.T, url string) map[string]int64 {
	t.Helper()
	rows, _ := owner(t, url).Query(t.Context(), `SELECT relname, seq_scan FROM pg_stat_user_tables
		WHERE schemaname = 'schoolbell' AND relname IN ('ledger', 'ledger_log')`)
	counts := map[string]int64{}
	var name string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { counts[name] = n; return nil })
	require.NoError(t, err)
	return counts
}
