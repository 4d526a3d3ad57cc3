package catalog_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/golden"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/query"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// indexes returns those that the queries declare. Each query declares one, so that a new one is not
// left out of the test.
func indexes(t *testing.T) (all []query.Index) {
	for _, q := range catalog.Queries() {
		require.NotEmpty(t, q.Info().Indexes, "query %s declares no index that it needs",
			q.Info().Name)
		all = append(all, q.Info().Indexes...)
	}
	return all
}

// large is from how many rows on no query may read a whole table.
const large = 5000

// Each index is there for a query, and each query of a large table reads an index: as the API's
// role, so under row-level security, and whether the server plans with the parameters at hand or
// once for all.
func TestEachQueryUsesItsIndexes(t *testing.T) {
	t.Parallel()
	s, uses := openVolume(t), indexes(t)
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		s.exec("SET plan_cache_mode = " + mode)
		for _, u := range uses {
			plan, ok := s.run(u)[u.Statement]
			require.True(t, ok, "%s does not run %s", u.Request, u.Statement)
			require.Contains(t, plan.indexes, u.Name, "%s of %s, %s:\n%s", u.Statement, u.Request,
				mode, plan.text)
		}
	}
	for name, text := range s.wholeTables {
		t.Errorf("%s reads a whole table:\n%s", name, text)
	}
	unused := s.indexes()
	for _, u := range uses {
		delete(unused, u.Name)
	}
	require.Empty(t, slices.Collect(maps.Keys(unused)), "indexes that no query declares")

	if golden.Updating() {
		const file = "../../docs/PERFORMANCE.md"
		report, err := os.ReadFile(file)
		require.NoError(t, err)
		report, _, found := bytes.Cut(report, []byte(appendix))
		require.True(t, found, "%s has no %q", file, appendix)
		require.NoError(t, os.WriteFile(file, append(report, s.document(uses)...), 0o644))
	}
}

// volume is a database with a realistic number of rows, and one connection to it.
type volume struct {
	t           *testing.T
	conn        *pgx.Conn
	plans       []plan // since the last request
	large       map[string]bool
	wholeTables map[string]string // plans that read a whole large table, by their statement
}

// plan is what the server did for one statement.
type plan struct {
	statement string
	text      string
	took      time.Duration
	indexes   []string
	whole     []string // tables that were read as a whole
}

func openVolume(t *testing.T) *volume {
	cfg, err := pgx.ParseConfig(devtest.Postgres(t))
	require.NoError(t, err)
	s := &volume{t: t, large: map[string]bool{}, wholeTables: map[string]string{}}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { s.note(n.Message) }
	s.conn, err = pgx.ConnectConfig(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.conn.Close(context.Background())) })

	load, err := os.ReadFile("testdata/volume.sql")
	require.NoError(t, err)
	s.exec("BEGIN;\n" + string(load) + "\nCOMMIT")
	for _, p := range catalog.All() {
		for _, table := range p.Tables {
			s.fill(table.Schema())
		}
	}
	s.exec("VACUUM ANALYZE")
	rows, err := s.conn.Query(context.Background(),
		`SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > $1`, large)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, n := range names {
		s.large[n] = true
	}
	// The server sends plans as notices, those of statements inside functions too.
	s.exec(`LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
		SET auto_explain.log_format = 'json'; SET auto_explain.log_level = 'notice'; SET jit = off`)
	return s
}

func (s *volume) exec(sql string) {
	s.t.Helper()
	_, err := s.conn.Exec(context.Background(), sql)
	require.NoError(s.t, err)
}

// fill puts 500 rows for each of twenty schools into a table that volume.sql has none for. It draws
// them from the table's declaration, so that a new read model needs no data written by hand.
func (s *volume) fill(table *projections.Schema) {
	var filled bool
	err := s.conn.QueryRow(context.Background(),
		"SELECT EXISTS (SELECT FROM schoolbell."+table.Name+")").Scan(&filled)
	require.NoError(s.t, err)
	if filled {
		return
	}
	var columns, values []string
	for i, c := range table.Columns {
		value := map[projections.Kind]string{
			projections.KindInt: "n", projections.KindFloat: "n", projections.KindBool: "n % 2 = 0",
			projections.KindDate: "DATE '2026-09-01' + n % 300",
			projections.KindTime: "TIMESTAMPTZ '2026-09-01' + n * INTERVAL '1 hour'",
			projections.KindText: "'text ' || n % 20", projections.KindJSON: "'[]'",
		}[c.Kind]
		switch stem, isID := strings.CutSuffix(c.Name, "_id"); {
		case i == 0:
			value = "'school-' || lpad(s::text, 2, '0')"
		case isID && c.Kind == projections.KindText:
			value = "'" + stem + "-' || lpad(n::text, 4, '0')"
		case c.Key && c.Kind == projections.KindText:
			value = "'key-' || n"
		}
		columns, values = append(columns, c.Name), append(values, value)
	}
	s.exec(fmt.Sprintf("INSERT INTO schoolbell.%s (%s) SELECT %s FROM generate_series(1, 20) s, generate_series(1, 500) n",
		table.Name, strings.Join(columns, ", "), strings.Join(values, ", ")))
}

// note takes a plan from a notice: "duration: 0.123 ms  plan:" and then JSON.
func (s *volume) note(message string) {
	head, text, ok := strings.Cut(message, "plan:")
	if !ok {
		return
	}
	var explained struct {
		Statement string `json:"Query Text"`
		Plan      node   `json:"Plan"`
	}
	var ms float64
	_, err := fmt.Sscanf(head, "duration: %f ms", &ms)
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal([]byte(text), &explained))
	p := plan{text: text, took: time.Duration(ms * float64(time.Millisecond))}
	if first, _, named := strings.Cut(explained.Statement, "\n"); named &&
		strings.HasPrefix(first, "-- ") {
		p.statement = strings.TrimPrefix(first, "-- ")
	}
	explained.Plan.visit(func(n *node) {
		if n.Index != "" {
			p.indexes = append(p.indexes, n.Index)
		}
		if n.Type == "Seq Scan" && s.large[n.Table] {
			p.whole = append(p.whole, n.Table)
		}
	})
	s.plans = append(s.plans, p)
}

type node struct {
	Type  string         `json:"Node Type"`
	Table string         `json:"Relation Name"`
	Index string         `json:"Index Name"`
	Plans []node         `json:"Plans"`
	Rest  jsontext.Value `json:",inline"`
}

func (n *node) visit(f func(*node)) {
	f(n)
	for i := range n.Plans {
		n.Plans[i].visit(f)
	}
}

// run serves a request as the API does, and returns the plans of its statements by their names.
// What happens inside a function belongs to the statement that calls it.
func (s *volume) run(u query.Index) map[string]plan {
	tx, err := s.conn.Begin(context.Background())
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, tx.Rollback(context.Background())) }()
	return s.runWithin(tx, u)
}

func (s *volume) runWithin(tx pgx.Tx, u query.Index) map[string]plan {
	projtest.As(s.t, tx, "school-07")
	s.plans = nil
	scope := query.Scope{
		School: "school-07", Today: domain.NewDate(2026, 11, 20),
		Access: access.Everything(),
	}
	if u.Own {
		scope.Access = access.For(&access.Bearer{Subject: "g", School: scope.School, Roles: []string{"guardian"}},
			&access.Directory{Children: []string{"student-0007"}}, access.Policy{})
	}
	result := projtest.Get(tx, scope, catalog.Queries(), u.Request)
	require.True(s.t, strings.HasPrefix(result, `"`), result)
	// the plan of a statement arrives when the next one begins
	_, err := tx.Exec(context.Background(), "RESET ROLE")
	require.NoError(s.t, err)
	by := map[string]plan{}
	var inside plan
	for _, p := range s.plans {
		p.indexes = append(p.indexes, inside.indexes...)
		p.whole = append(p.whole, inside.whole...)
		p.text += inside.text
		if p.statement == "" {
			inside = p
			continue
		}
		inside = plan{}
		by[p.statement] = p
		if len(p.whole) > 0 {
			s.wholeTables[p.statement] = p.text
		}
	}
	return by
}

// indexes returns the names of all indexes of the read models' tables but those of primary keys, by
// which the engine finds rows.
func (s *volume) indexes() map[string]bool {
	rows, err := s.conn.Query(context.Background(), `SELECT indexname FROM pg_indexes JOIN pg_policies USING (schemaname, tablename)
		WHERE schemaname = 'schoolbell' AND policyname = 'projector' AND tablename NOT IN ('parked_subjects', 'parked_events', 'deadletters')
		AND indexname NOT LIKE '%\_pkey'`)
	require.NoError(s.t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	all := map[string]bool{}
	for _, n := range names {
		all[n] = true
	}
	return all
}
