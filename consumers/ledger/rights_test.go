package ledger_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
)

// What waits is not sent to whoever has lost the right to it meanwhile.
func TestP10_WhatWaitsIsCancelledForThoseWhoMayNotHearOfItAnyMore(t *testing.T) {
	t.Parallel()
	w := setup(t)
	conn, err := pgx.Connect(t.Context(), w.url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, sql := range []string{
		`SET ROLE schoolbell_projector`, `SET search_path = schoolbell`,
		`INSERT INTO enrolments (school, student_id, starts, ends, class_id, enrolled_on, source) VALUES
			('s1', 'ann', '2020-01-01', NULL, '7a', '2020-01-01', ''), ('s1', 'old', '2020-01-01', '2021-01-01', '7a', '2020-01-01', '')`,
		`INSERT INTO student_guardians (school, student_id, guardian_id, starts, ends, relation, is_primary) VALUES
			('s1', 'ann', 'mum', '2020-01-01', NULL, 'mother', true), ('s1', 'ann', 'ex', '2020-01-01', '2021-01-01', 'father', true),
			('s1', 'old', 'gone', '2020-01-01', NULL, 'mother', true), ('s1', 'bob', 'both', '2020-01-01', NULL, 'aunt', true),
			('s1', 'ann', 'both', '2020-01-01', '2021-01-01', 'aunt', true)`,
		`INSERT INTO staff (school, staff_id, name, role, subjects, left_on) VALUES
			('s1', 'may', 'May', 'teacher', '[]', NULL), ('s1', 'gil', 'Gil', 'teacher', '[]', '2021-01-01'), ('s1', 'joe', 'Joe', 'teacher', '[]', NULL)`,
		`INSERT INTO assignments VALUES ('s1', 'may', '2020-01-01', NULL, '["7a"]', ''), ('s1', 'gil', '2020-01-01', NULL, '["7a"]', ''),
			('s1', 'joe', '2020-01-01', NULL, '["9c"]', '')`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	provider := newProvider(nil)
	l := w.ledger(func(cfg *ledger.Config) {
		cfg.Settings = ledger.NewSettings(w.pool)
		cfg.Providers = map[consumers.Channel]consumers.Provider{consumers.SMS: provider}
	})
	about := func(student, event string, offset int64, to ...string) consumers.Planning {
		return planFor(consumers.Delivery{
			Channel: consumers.SMS, Priority: consumers.Normal, Template: "absence", Student: student,
		}, "s1", event, offset, to...)
	}
	_, err = l.Commit(t.Context(), []consumers.Planning{
		about("ann", "e1", 1, "mum", "ex", "both", "may", "gil", "joe", "ann", "stranger"),
		about("old", "e2", 2, "gone", "old"),
		about("", "e3", 3, "mum", "ex", "both", "may", "gil", "gone", "clerk"),
	})
	require.NoError(t, err)
	// They have waited for an hour, for example until the end of quiet hours.
	_, err = conn.Exec(t.Context(), `RESET ROLE`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(),
		`UPDATE schoolbell.ledger SET planned_at = planned_at - interval '1 hour'`)
	require.NoError(t, err)
	run(t, l)
	require.Eventually(t, func() bool {
		return w.column(`SELECT count(*)::text FROM schoolbell.ledger WHERE state IN ('planned', 'sending')`)[0] == "0"
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{
		"ann to ann", "ann to may", "ann to mum", " to both", " to clerk", " to may", " to mum",
	}, w.column(`SELECT student || ' to ' || recipient FROM schoolbell.ledger WHERE state = 'sent'
		ORDER BY student = '', recipient`))
	require.Equal(t, []string{"its recipient may no longer receive it"},
		w.column(`SELECT DISTINCT error FROM schoolbell.ledger WHERE state = 'cancelled'`))
}

// Whoever was sent a link to a document may read it as long as they may hear of the student.
func TestP10_ReadersOfADocumentAreThoseWhoWereSentIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	settings := ledger.NewSettings(w.pool)
	l := w.ledger(nil)
	card := planFor(consumers.Delivery{Channel: consumers.PDF, Template: "report_card", Student: "ann"},
		"s1", "e1", 1, "ann")
	notice := planFor(consumers.Delivery{
		Channel: consumers.SMS, Template: "results", Student: "ann",
		DependsOn: card.Deliveries[0].ID,
	}, "s1", "e1", 1, "mum", "ex")
	card.Deliveries = append(card.Deliveries, notice.Deliveries...)
	_, err := l.Commit(t.Context(), []consumers.Planning{card})
	require.NoError(t, err)
	readers, err := settings.Readers(t.Context(), "abc")
	require.NoError(t, err)
	require.Empty(t, readers)
	conn, err := pgx.Connect(t.Context(), w.url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	document, err := json.Marshal(consumers.Document{SHA256: "abc"}) // as the ledger stores it
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `UPDATE schoolbell.ledger SET document = $1 WHERE channel = 'pdf'`,
		string(document))
	require.NoError(t, err)
	for _, sql := range []string{
		`SET ROLE schoolbell_projector`,
		`INSERT INTO schoolbell.student_guardians (school, student_id, guardian_id, starts, ends, relation, is_primary) VALUES
			('s1', 'ann', 'mum', '2020-01-01', NULL, 'mother', true), ('s1', 'ann', 'ex', '2020-01-01', '2021-01-01', 'father', true)`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	readers, err = settings.Readers(t.Context(), "abc")
	require.NoError(t, err)
	require.ElementsMatch(t, []ledger.Reader{{"s1", "mum", true}, {"s1", "ex", false}}, readers)
}
