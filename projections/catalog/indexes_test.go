package catalog_test

import (
	"context"
	"flag"
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
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/query"
)

func TestMain(m *testing.M) { devtest.Main(m) }

var update = flag.Bool("update", false, "measure each query with and without its index, and write docs/INDEXES.md")

// use says that a statement of a question's answer reads an index. The statement is known by its first line.
type use struct {
	ask, statement, index string
	own                   bool // a guardian asks
}

var uses = []use{
	{ask: "/students", statement: "students.list", index: "students_by_name"},
	{ask: "/students?class=class-07", statement: "students.list", index: "students_by_class"},
	{ask: "/students?status=withdrawn", statement: "students.withdrawn", index: "students_withdrawn"},
	{ask: "/students?q=nakam+or", statement: "students.search", index: "students_search"},
	{ask: "/students", statement: "students.guardians", index: "student_guardians_pkey"},
	{ask: "/students", statement: "students.guardians", index: "guardians_pkey"},
	{ask: "/students/student-0007", statement: "students.one", index: "students_pkey"},
	{ask: "/students/student-0007", statement: "students.siblings", index: "student_guardians_by_guardian"},
	{ask: "/students/student-0007", statement: "students.staff_of_class", index: "staff_by_class"},
	{ask: "/classes", statement: "students.classes", index: "classes_pkey"},
	{ask: "/students/student-0007/timeline", statement: "timeline.list", index: "timeline_pkey"},
	{ask: "/students/student-0007/timeline", statement: "timeline.own", index: "timeline_pkey", own: true},
	{ask: "/analytics/attendance?from=2026-10-01&to=2026-10-31", statement: "attendance.by_day", index: "attendance_days_pkey"},
	{ask: "/analytics/attendance?class=class-07", statement: "attendance.by_class", index: "attendance_days_by_class"},
	{ask: "/analytics/attendance?class=class-07", statement: "attendance.class_days", index: "attendance_days_by_class"},
	{ask: "/analytics/attendance", statement: "attendance.chronic", index: "attendance_students_pkey"},
	{ask: "/analytics/attendance?from=2026-10-01&to=2026-10-31", statement: "attendance.within", index: "attendance_months_pkey"},
	{ask: "/students/student-0007", statement: "attendance.of_students", index: "attendance_months_pkey"},
	{ask: "/students/student-0007", statement: "attendance.student", index: "attendance_students_pkey"},
	{ask: "/analytics/overview", statement: "attendance.last_day", index: "attendance_days_pkey"},
	{ask: "/analytics/performance?year=2026-2027&term=autumn", statement: "performance.groups", index: "performance_groups_pkey"},
	{ask: "/analytics/performance?year=2026-2027&term=autumn&class=class-07", statement: "performance.ranking", index: "performance_students_pkey"},
	{ask: "/analytics/performance?class=class-07", statement: "performance.ranking", index: "performance_students_by_class"},
	{ask: "/analytics/performance", statement: "performance.upcoming", index: "assessments_by_day"},
	{ask: "/students/student-0007", statement: "performance.student_subjects", index: "performance_scores_pkey"},
	{ask: "/students/student-0007", statement: "performance.student_terms", index: "performance_students_pkey"},
	{ask: "/analytics/performance?class=class-07", statement: "performance.groups", index: "results_published_pkey"},
	{ask: "/analytics/fees", statement: "fees.ageing", index: "fee_invoices_open"},
	{ask: "/analytics/fees?year=2026-2027&term=autumn", statement: "fees.ageing", index: "fee_invoices_open"},
	{ask: "/analytics/fees", statement: "fees.unmatched", index: "fee_invoices_unmatched"},
	{ask: "/analytics/fees?year=2026-2027", statement: "fees.totals", index: "fee_totals_pkey"},
	{ask: "/analytics/fees?year=2026-2027", statement: "fees.methods", index: "fee_methods_pkey"},
	{ask: "/analytics/revenue-forecast", statement: "fees.monthly", index: "fee_revenue_pkey"},
	{ask: "/students/student-0007", statement: "fees.account", index: "fee_accounts_pkey"},
	{ask: "/analytics/at-risk", statement: "at_risk.list", index: "at_risk_pkey"},
	{ask: "/analytics/overview", statement: "at_risk.count", index: "at_risk_pkey"},
	{ask: "/deliveries", statement: "deliveries.planned", index: "ledger_by_time"},
	{ask: "/deliveries", statement: "deliveries.planned", index: "deliveries_pkey"},
	{ask: "/deliveries?recipient=guardian-33", statement: "deliveries.planned", index: "ledger_by_recipient"},
	{ask: "/deliveries?event=event-0007", statement: "deliveries.planned", index: "ledger_by_event"},
	{ask: "/deliveries?event=event-0007", statement: "deliveries.unplanned", index: "deliveries_by_cause"},
	{ask: "/deliveries?event=event-0007", statement: "deliveries.told", index: "ledger_by_event"},
	{ask: "/deliveries?status=dead", statement: "deliveries.planned", index: "ledger_pkey"},
	{ask: "/deliveries?status=delivered", statement: "deliveries.outcomes", index: "deliveries_by_position"},
	{ask: "/deliveries?status=delivered&channel=push", statement: "deliveries.outcomes", index: "deliveries_by_channel"},
	{ask: "/deliveries?status=delivered&recipient=guardian-33", statement: "deliveries.outcomes", index: "deliveries_by_recipient"},
	{ask: "/deliveries?status=failed", statement: "deliveries.outcomes", index: "deliveries_failed"},
	{ask: "/deliveries/delivery-07-0007-1", statement: "deliveries.one", index: "deliveries_pkey"},
	{ask: "/deliveries/delivery-07-0007-1", statement: "deliveries.plan", index: "ledger_pkey"},
	{ask: "/deliveries/delivery-07-0007-1", statement: "deliveries.log", index: "ledger_log_by_delivery"},
}

// large is from how many rows on no question may read a whole table.
const large = 5000

// Each index is there for a question, and each question about a large table reads an index: as the API's role, so under
// row-level security, and whether the server plans with the parameters at hand or once for all.
func TestEachQuestionUsesItsIndex(t *testing.T) {
	t.Parallel()
	s := openVolume(t)
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		s.exec("SET plan_cache_mode = " + mode)
		for _, u := range uses {
			plan, ok := s.ask(u)[u.statement]
			require.True(t, ok, "%s does not run %s", u.ask, u.statement)
			require.Contains(t, plan.indexes, u.index, "%s of %s, %s:\n%s", u.statement, u.ask, mode, plan.text)
		}
	}
	for name, text := range s.wholeTables {
		t.Errorf("%s reads a whole table:\n%s", name, text)
	}
	unused := s.indexes()
	for _, u := range uses {
		delete(unused, u.index)
	}
	for _, keyOnly := range []string{ // what the projector finds rows by, and what planners ask for (package knowledge)
		"fee_invoices_by_student", "fee_payments_by_student", "performance_remarks_pkey", "assessments_pkey", "fee_invoices_pkey", "fee_payments_pkey", "performance_totals_pkey", "staff_pkey",
	} {
		require.Contains(t, unused, keyOnly)
		delete(unused, keyOnly)
	}
	require.Empty(t, slices.Collect(maps.Keys(unused)), "indexes that no question is named for")

	if *update {
		require.NoError(t, os.WriteFile("../../docs/INDEXES.md", s.document(), 0o644))
	}
}

// volume is a database with a realistic number of rows, and one connection to it.
type volume struct {
	t           *testing.T
	conn        *pgx.Conn
	plans       []plan // since the last question
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
	s.exec("VACUUM ANALYZE")
	rows, err := s.conn.Query(context.Background(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > $1`, large)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, n := range names {
		s.large[n] = true
	}
	// The plans come as notices, those of statements inside functions too.
	s.exec(`LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
		SET auto_explain.log_format = 'json'; SET auto_explain.log_level = 'notice'; SET jit = off`)
	return s
}

func (s *volume) exec(sql string) {
	s.t.Helper()
	_, err := s.conn.Exec(context.Background(), sql)
	require.NoError(s.t, err)
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
	if first, _, named := strings.Cut(explained.Statement, "\n"); named && strings.HasPrefix(first, "-- ") {
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

// ask answers a question as the API does, and returns the plans of its statements by their names. What happens inside a
// function belongs to the statement that calls it.
func (s *volume) ask(u use) map[string]plan {
	tx, err := s.conn.Begin(context.Background())
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, tx.Rollback(context.Background())) }()
	return s.askWithin(tx, u)
}

func (s *volume) askWithin(tx pgx.Tx, u use) map[string]plan {
	projtest.As(s.t, tx, "school-07")
	s.plans = nil
	asked := query.Scope{School: "school-07", Today: domain.NewDate(2026, 11, 20), Sees: query.SeesAll, Own: u.own}
	answer := projtest.Get(tx, asked, catalog.Queries(), u.ask)
	require.True(s.t, strings.HasPrefix(answer, `"`), answer)
	_, err := tx.Exec(context.Background(), "RESET ROLE") // the plan of a statement comes when the next one begins
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

// indexes returns the names of all indexes of the tables with a school that read models have.
func (s *volume) indexes() map[string]bool {
	rows, err := s.conn.Query(context.Background(), `SELECT indexname FROM pg_indexes JOIN pg_policies USING (schemaname, tablename)
		WHERE schemaname = 'schoolbell' AND policyname = 'projector' AND tablename NOT IN ('parked_subjects', 'parked_events')`)
	require.NoError(s.t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	all := map[string]bool{}
	for _, n := range names {
		all[n] = true
	}
	return all
}
