package projtest

import (
	"context"
	"net/http"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
)

// Schools sends queries to tables that were folded from histories, each from nothing.
type Schools struct {
	Scope query.Scope // of the queries

	set       *projections.Set
	endpoints []query.Endpoint
	conn      *pgx.Conn
}

// NewSchools opens a database for the histories of a test.
func NewSchools(
	t testing.TB, scope query.Scope, endpoints []query.Endpoint, members ...*projections.Projection,
) *Schools {
	t.Helper()
	set, err := projections.NewSet(members...)
	require.NoError(t, err)
	conn, err := pgx.Connect(context.Background(), devtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return &Schools{scope, set, endpoints, conn}
}

// Get folds events, which must all be folded, and returns the result that is at an address.
func (s *Schools) Get(t testing.TB, events []*domain.Envelope, target string) map[string]any {
	t.Helper()
	batch, stored := projections.NewBatch(s.set, true), tables{}
	for _, e := range events {
		_, err := batch.Fold(e)
		require.NoError(t, err, "fold %s", e.Type)
	}
	rows, _ := batch.Take(1 << 30)
	for _, set := range rows {
		stored.take(t, set)
	}
	tx, err := s.conn.Begin(context.Background())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	stored.each(func(schema *projections.Schema, row *tableRow) {
		if !row.deleted {
			insert(t, tx, schema, row.values)
		}
	})
	As(t, tx, s.Scope.School)
	status, body := Fetch(tx, s.Scope, s.endpoints, target)
	require.Equal(t, http.StatusOK, status, string(body))
	var result map[string]any
	require.NoError(t, json.Unmarshal(body, &result))
	return result
}
