package projtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

// tables is rows by the table's name and then by the row's key as text.
type tables struct {
	schemas map[string]*projections.Schema
	rows    map[string]map[string]*tableRow
}

type tableRow struct {
	values  []any // as [projections.Column.Value] returns them
	deleted bool
}

// take adds rows as they go to a store.
func (ts *tables) take(t testing.TB, set projections.RowSet) {
	s := set.Schema()
	if ts.rows == nil {
		ts.schemas, ts.rows = map[string]*projections.Schema{}, map[string]map[string]*tableRow{}
	}
	ts.schemas[s.Name] = s
	if ts.rows[s.Name] == nil {
		ts.rows[s.Name] = map[string]*tableRow{}
	}
	for i := range set.Len() {
		row := &tableRow{values: make([]any, len(s.Columns)), deleted: set.Deleted(i)}
		for c := range s.Columns {
			v, err := s.Columns[c].Value(set.Value(i, c))
			require.NoError(t, err)
			row.values[c] = v
		}
		ts.rows[s.Name][strings.Join(row.cells()[:s.Keys], "\x00")] = row
	}
}

// each calls f with every row, sorted by table and key.
func (ts *tables) each(f func(s *projections.Schema, row *tableRow)) {
	for _, name := range slices.Sorted(maps.Keys(ts.rows)) {
		for _, key := range slices.Sorted(maps.Keys(ts.rows[name])) {
			f(ts.schemas[name], ts.rows[name][key])
		}
	}
}

// print writes tables as columns of text; all of them when none is named.
func (ts *tables) print(names []string) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	last := ""
	ts.each(func(s *projections.Schema, row *tableRow) {
		if len(names) > 0 && !slices.Contains(names, s.Name) {
			return
		}
		if last != s.Name {
			fmt.Fprintln(w, s.Name+":")
			var columns []string
			for _, c := range s.Columns {
				columns = append(columns, c.Name)
			}
			fmt.Fprintln(w, "  "+strings.Join(columns, "\t"))
			last = s.Name
		}
		cells := row.cells()
		if row.deleted {
			cells = append(cells[:s.Keys], "removed")
		}
		fmt.Fprintln(w, "  "+strings.Join(cells, "\t"))
	})
	if err := w.Flush(); err != nil {
		panic(err) // a strings.Builder takes everything
	}
	lines := strings.Split(out.String(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

func (r *tableRow) cells() []string {
	cells := make([]string, len(r.values))
	for i, v := range r.values {
		switch v := v.(type) {
		case time.Time:
			cells[i] = v.Format("2006-01-02T15:04Z")
		case domain.Date:
			cells[i] = v.String()
		default:
			cells[i] = strings.NewReplacer("\t", " ", "\n", `\n`).Replace(fmt.Sprint(v))
		}
		if cells[i] == "" {
			cells[i] = "-"
		}
	}
	return cells
}
