package catalog_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/projections/query"
)

// appendix is the heading of the table of indexes, which ends docs/PERFORMANCE.md.
const appendix = "## Appendix: indexes\n"

// document measures each statement with its index and without it, and writes both into a table.
func (s *volume) document(uses []query.Index) []byte {
	s.exec("SET plan_cache_mode = auto")
	var b bytes.Buffer
	b.WriteString(appendix + `
Every index serves a query, which declares it (Indexes of query.Query). The test loads twenty schools with 500 students
each, sends the declared requests in the API's role, under row-level security, and reads the plans. It fails when a query
stops using its index, when one scans a whole large table, and when an index has no query. Primary keys by which only the
engine finds its rows are not listed.

The times are medians of eleven, measured by the server for the named statement, with warm caches. "Without" is the same
statement after only that index was dropped, so that the server may use the next best one; where the two are alike, that
one is nearly as good at this size. The figures are from two cores that had other work as well. Made by

    SCHOOLBELL_GOLDEN=update go test ./projections/catalog -run TestEachQueryUsesItsIndexes

| Request | Statement | Index | Definition | Without | With |
|---|---|---|---|--:|--:|
`)
	for _, u := range uses {
		with := s.measure(u, false)
		without := s.measure(u, true)
		request := u.Request
		if u.Own {
			request += " (by a guardian)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", request, u.Statement, u.Name,
			s.definition(u.Name),
			milliseconds(without), milliseconds(with))
	}
	return b.Bytes()
}

// measure returns the median time of a statement; without its index when that is dropped.
func (s *volume) measure(u query.Index, dropped bool) time.Duration {
	tx, err := s.conn.Begin(context.Background())
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, tx.Rollback(context.Background())) }()
	if dropped {
		s.drop(tx, u.Name)
	}
	var times []time.Duration
	for range 11 {
		plan, ok := s.runWithin(tx, u)[u.Statement]
		require.True(s.t, ok)
		times = append(times, plan.took)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func (s *volume) drop(tx pgx.Tx, index string) {
	var table string
	var isKey bool
	err := tx.QueryRow(context.Background(), `SELECT indrelid::regclass::text, indisprimary FROM pg_index
		WHERE indexrelid = ('schoolbell.' || $1)::regclass`, index).Scan(&table, &isKey)
	require.NoError(s.t, err)
	sql := "DROP INDEX schoolbell." + index
	if isKey {
		sql = "ALTER TABLE " + table + " DROP CONSTRAINT " + index
	}
	_, err = tx.Exec(context.Background(), sql)
	require.NoError(s.t, err)
}

// definition returns an index's columns and condition.
func (s *volume) definition(index string) string {
	var text string
	err := s.conn.QueryRow(context.Background(), `SELECT regexp_replace(pg_get_indexdef(('schoolbell.' || $1)::regclass),
		'^CREATE (UNIQUE )?INDEX \S+ ON \S+ USING ', '')`, index).Scan(&text)
	require.NoError(s.t, err)
	return text
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}
