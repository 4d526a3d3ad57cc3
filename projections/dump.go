package projections

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Dump is the content of tables in a form that can be compared, whatever store it comes from: by
// the table's name and then by the row's key, the row's columns.
type Dump map[string]map[string][]string

// Add adds a row. Its values are as [Column.Value] returns them.
func (d Dump) Add(s *Schema, values []any) error {
	row := make([]string, len(values))
	for i, v := range values {
		if text, ok := v.(jsontext.Value); ok {
			canonical := text.Clone()
			if err := canonical.Canonicalize(); err != nil {
				return fmt.Errorf("read column %s of %s: %w", s.Columns[i].Name, s.Name, err)
			}
			v = canonical
		}
		row[i] = fmt.Sprint(v)
	}
	key := strings.Join(row[:s.Keys], " | ")
	if d[s.Name] == nil {
		d[s.Name] = map[string][]string{}
	}
	if d[s.Name][key] != nil {
		return fmt.Errorf("table %s has two rows with key %s", s.Name, key)
	}
	d[s.Name][key] = row
	return nil
}
