package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/projections"
)

// statement is prepared once on each connection that needs it.
type statement struct{ name, sql string }

// prepared is the key under which a connection stores the names of its prepared statements.
const prepared = "schoolbell.prepared"

func (s statement) prepare(ctx context.Context, conn *pgconn.PgConn) error {
	known, _ := conn.CustomData()[prepared].(map[string]bool)
	if known[s.name] {
		return nil
	}
	if _, err := conn.Prepare(ctx, s.name, s.sql, nil); err != nil {
		return fmt.Errorf("prepare %s: %w", s.name, err)
	}
	if known == nil {
		known = map[string]bool{}
		conn.CustomData()[prepared] = known
	}
	known[s.name] = true
	return nil
}

// tableStatements are the statements of one table. Each takes an array for every column, or every
// column of the key.
type tableStatements struct {
	insert, upsert, remove, lookup, all statement
}

func newTableStatements(s *projections.Schema) tableStatements {
	table := pgx.Identifier{s.Name}.Sanitize()
	var columns, arrays, updates, match []string
	for i, c := range s.Columns {
		column := pgx.Identifier{c.Name}.Sanitize()
		columns = append(columns, column)
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, sqlTypes[c.Kind].name))
		if c.Key {
			match = append(match, fmt.Sprintf("t.%s = k.%s", column, column))
		} else {
			updates = append(updates, fmt.Sprintf("%s = excluded.%s", column, column))
		}
	}
	list := strings.Join(columns, ", ")
	keys := strings.Join(columns[:s.Keys], ", ")
	insert := fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM unnest(%s)", table, list,
		strings.Join(arrays, ", "))
	upsert := fmt.Sprintf("%s ON CONFLICT (%s) DO NOTHING", insert, keys)
	if len(updates) > 0 {
		upsert = fmt.Sprintf("%s ON CONFLICT (%s) DO UPDATE SET %s", insert, keys,
			strings.Join(updates, ", "))
	}
	wanted := fmt.Sprintf("unnest(%s) AS k (%s)", strings.Join(arrays[:s.Keys], ", "), keys)
	on := strings.Join(match, " AND ")
	name := func(what string) string { return "schoolbell_" + what + "_" + s.Name }
	return tableStatements{
		insert: statement{name("insert"), insert},
		upsert: statement{name("upsert"), upsert},
		remove: statement{
			name("remove"),
			fmt.Sprintf("DELETE FROM %s t USING %s WHERE %s", table, wanted, on),
		},
		lookup: statement{
			name("lookup"),
			fmt.Sprintf("SELECT t.%s FROM %s JOIN %s t ON %s", strings.Join(columns, ", t."),
				wanted, table, on),
		},
		all: statement{name("all"), fmt.Sprintf("SELECT %s FROM %s", list, table)},
	}
}
