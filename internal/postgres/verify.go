package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/projections"
)

// VerifyResult is the result of comparing the live tables with the log.
type VerifyResult struct {
	Projections []string      `json:"projections"`
	School      string        `json:"school,omitzero"`
	Events      int64         `json:"events"`   // how far the log was folded
	Rows        int64         `json:"rows"`     // compared
	Differ      int64         `json:"differ"`   // of them
	Examples    []Difference  `json:"examples"` // the first of each table
	Took        time.Duration `json:"-"`
}

// Difference is a row that is not what the log says.
type Difference struct {
	Table string         `json:"table"`
	Key   map[string]any `json:"key"`
	// "live" or "log", when the row is in only one of them
	Only    string             `json:"only,omitzero"`
	Columns []ColumnDifference `json:"columns,omitzero"`
}

// ColumnDifference is a value that is not what the log says.
type ColumnDifference struct {
	Column string `json:"column"`
	Live   any    `json:"live"`
	Log    any    `json:"log"`
}

const (
	verifySchema     = "schoolbell_verify"
	examplesPerTable = 20
)

// Verify folds the log next to the live tables, exactly to the position of a snapshot of them, and
// compares row by row. It disturbs no reader and no worker; only a rebuild waits for it before it
// exchanges tables.
func (b *Shadow) Verify(ctx context.Context) (result *VerifyResult, err error) {
	began := time.Now()
	s, err := b.open(ctx, verifySchema)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.discard(ctx)) }()
	names := b.Projections
	if parked, err := s.liveParked(ctx); err != nil {
		return nil, fmt.Errorf("look for parked events: %w", err)
	} else if parked {
		names = nil // whether an event is parked depends on all projections
	}
	if err := s.choose(names); err != nil {
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		return nil, err
	}
	if _, err := s.catchUp(ctx, "fold"); err != nil {
		return nil, err
	}
	live, err := NewPool(ctx,
		Config{URL: b.URL, Role: Projector, MaxConns: 1, StatementTimeout: time.Hour})
	if err != nil {
		return nil, err
	}
	defer live.Close()
	snapshot := beginReading + "; SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE " +
		strings.Join(append(tableNames(s.rebuilt), blocksTable), ", ") + " IN ACCESS SHARE MODE"
	err = live.inTx(ctx, pgx.TxOptions{BeginQuery: snapshot}, func(tx pgx.Tx) error {
		result, err = s.compare(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	result.Took = time.Since(began)
	return result, nil
}

// compare folds up to the position of a snapshot, and compares.
func (s *shadowTables) compare(ctx context.Context, live pgx.Tx) (*VerifyResult, error) {
	positions, err := s.livePositions(ctx, live)
	if err != nil {
		return nil, err
	}
	result := &VerifyResult{School: s.School, Examples: []Difference{}}
	for _, next := range positions {
		result.Events += next
	}
	if err := s.foldTo(ctx, "fold", positions, result.Events); err != nil {
		return nil, err
	}
	shadow, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer shadow.Release()
	for _, p := range s.rebuilt {
		result.Projections = append(result.Projections, p.Name)
		for _, t := range p.Tables {
			s.report("compare "+t.Schema().Name, result.Events, result.Events)
			if err := s.compareTable(ctx, result, t.Schema(), "", live, shadow); err != nil {
				return nil, fmt.Errorf("compare %s: %w", t.Schema().Name, err)
			}
		}
	}
	where := " AND set_name = '" + strings.ReplaceAll(s.Engine.Name, "'", "''") + "'"
	if err := s.compareTable(ctx, result, parkedSchema, where, live, shadow); err != nil {
		return nil, fmt.Errorf("compare parked events: %w", err)
	}
	if err := s.compareTable(ctx, result, skippedSchema, where, live, shadow); err != nil {
		return nil, fmt.Errorf("compare skipped events: %w", err)
	}
	versions, err := tableVersions(ctx, live, s.Engine.Name)
	if err != nil || versions[projections.LogIndex] != projections.LogIndexVersion {
		return result, err // the next rebuild makes it
	}
	if err := s.compareTable(ctx, result, blocksSchema, "", live, shadow); err != nil {
		return nil, fmt.Errorf("compare the index of the log: %w", err)
	}
	return result, nil
}

// blocksSchema describes the index of the log. Its bits are compared as they are printed.
var blocksSchema = &projections.Schema{
	Name: blocksTable, Keys: 2,
	Columns: []projections.Column{
		{Name: "school", Kind: projections.KindText, Key: true},
		{Name: "block", Kind: projections.KindInt, Key: true},
		{Name: "first_offset", Kind: projections.KindInt},
		{Name: "events", Kind: projections.KindText},
	},
}

// skippedSchema has the columns of skipped events that must be the same.
var skippedSchema = &projections.Schema{
	Name: "skipped_events", Keys: 2,
	Columns: []projections.Column{
		{Name: "partition", Kind: projections.KindInt, Key: true},
		{Name: "log_offset", Kind: projections.KindInt, Key: true},
		{Name: "school", Kind: projections.KindText},
		{Name: "skipped_by", Kind: projections.KindInt},
		{Name: "reason", Kind: projections.KindText},
	},
}

// parkedSchema has the columns of parked events that must be the same.
var parkedSchema = &projections.Schema{
	Name: "parked_events", Keys: 2,
	Columns: []projections.Column{
		{Name: "partition", Kind: projections.KindInt, Key: true},
		{Name: "log_offset", Kind: projections.KindInt, Key: true},
		{Name: "school", Kind: projections.KindText},
		{Name: "subject", Kind: projections.KindText},
	},
}

// compareTable merges two tables in the order of their keys, so that neither must fit into memory.
func (s *shadowTables) compareTable(
	ctx context.Context, result *VerifyResult, schema *projections.Schema, where string, live,
	shadow checkpoint.Querier,
) error {
	var columns, order []string
	for _, c := range schema.Columns {
		column := pgx.Identifier{c.Name}.Sanitize()
		if c.Kind == projections.KindText {
			columns = append(columns, column+"::text")
		} else {
			columns = append(columns, column)
		}
		if c.Key && c.Kind == projections.KindText {
			column += ` COLLATE "C"`
		}
		if c.Key {
			order = append(order, column)
		}
	}
	sql := fmt.Sprintf(`SELECT %s FROM %s WHERE ($1 = '' OR school = $1)%s ORDER BY %s`,
		strings.Join(columns, ", "),
		pgx.Identifier{schema.Name}.Sanitize(), where, strings.Join(order, ", "))
	a, err := openRows(ctx, live, sql, s.School)
	if err != nil {
		return err
	}
	defer a.rows.Close()
	b, err := openRows(ctx, shadow, sql, s.School)
	if err != nil {
		return err
	}
	defer b.rows.Close()
	for examples := 0; a.values != nil || b.values != nil; {
		difference, err := compareRows(schema, a.values, b.values)
		if err != nil {
			return err
		}
		result.Rows++
		if difference != nil {
			result.Differ++
			if examples++; examples <= examplesPerTable {
				result.Examples = append(result.Examples, *difference)
			}
		}
		if difference == nil || difference.Only != "log" {
			a.next()
		}
		if difference == nil || difference.Only != "live" {
			b.next()
		}
	}
	return errors.Join(a.rows.Err(), b.rows.Err())
}

// rowCursor is rows on their way, the current one in binary form.
type rowCursor struct {
	rows   pgx.Rows
	values [][]byte // nil at the end
}

func openRows(
	ctx context.Context, q checkpoint.Querier, sql string, args ...any,
) (*rowCursor, error) {
	rows, err := q.Query(ctx, sql,
		append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)...)
	if err != nil {
		return nil, err
	}
	t := &rowCursor{rows: rows}
	t.next()
	return t, nil
}

func (t *rowCursor) next() {
	t.values = nil
	if t.rows.Next() {
		t.values = t.rows.RawValues()
	}
}

// compareRows compares the current rows of both sides. It returns nil when they are the same.
func compareRows(schema *projections.Schema, live, log [][]byte) (*Difference, error) {
	if live != nil && log != nil && slices.EqualFunc(live, log, bytes.Equal) {
		return nil, nil
	}
	a, err := decodeRow(schema, live)
	if err != nil {
		return nil, err
	}
	b, err := decodeRow(schema, log)
	if err != nil {
		return nil, err
	}
	var order int
	switch {
	case a == nil:
		order = 1
	case b == nil:
		order = -1
	default:
		order = compareKeys(a[:schema.Keys], b[:schema.Keys])
	}
	d := &Difference{Table: schema.Name, Key: map[string]any{}}
	key := a
	switch {
	case order < 0:
		d.Only = "live"
	case order > 0:
		d.Only, key = "log", b
	default:
		for i := schema.Keys; i < len(schema.Columns); i++ {
			if !bytes.Equal(live[i], log[i]) {
				d.Columns = append(d.Columns,
					ColumnDifference{schema.Columns[i].Name, printable(a[i]), printable(b[i])})
			}
		}
	}
	for i := range schema.Keys {
		d.Key[schema.Columns[i].Name] = printable(key[i])
	}
	return d, nil
}

func decodeRow(schema *projections.Schema, raw [][]byte) ([]any, error) {
	if raw == nil {
		return nil, nil
	}
	values := make([]any, len(raw))
	for i := range raw {
		var err error
		if values[i], err = decodeValue(schema.Columns[i].Kind, raw[i]); err != nil {
			return nil, fmt.Errorf("read column %s: %w", schema.Columns[i].Name, err)
		}
	}
	return values, nil
}

func compareKeys(a, b []any) int {
	for i := range a {
		order := 0
		switch v := a[i].(type) {
		case string:
			order = strings.Compare(v, b[i].(string))
		case int64:
			order = cmp.Compare(v, b[i].(int64))
		case float64:
			order = cmp.Compare(v, b[i].(float64))
		case domain.Date:
			order = cmp.Compare(v, b[i].(domain.Date))
		case time.Time:
			order = v.Compare(b[i].(time.Time))
		case bool:
			order = cmp.Compare(map[bool]int{true: 1}[v], map[bool]int{true: 1}[b[i].(bool)])
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// printable returns a value for JSON and for people; a missing date or time is null.
func printable(v any) any {
	switch v := v.(type) {
	case domain.Date:
		if v.IsZero() {
			return nil
		}
		return v.String()
	case time.Time:
		if v.IsZero() {
			return nil
		}
	case jsontext.Value:
		return v
	}
	return v
}
