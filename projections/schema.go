package projections

import (
	"fmt"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
)

// Kind is how a column is stored.
type Kind uint8

// The kinds of columns. A Go type that is none of the others is stored as JSON.
const (
	KindText Kind = iota
	KindInt
	KindFloat
	KindBool
	KindDate // a zero date is NULL
	KindTime // a zero time is NULL; stored in microseconds
	KindJSON
)

// Column is one column of a table and the struct field it comes from.
type Column struct {
	Name string
	Kind Kind
	Key  bool

	field int // index of the field in the key's or the row's struct
}

// Schema describes a table: its name and columns, the key's first.
type Schema struct {
	Name    string
	Columns []Column
	Keys    int // how many of the columns, from the first on, are the key
	// AppendOnly tables are only added to, under keys that never occur again.
	AppendOnly bool
}

func newSchema(name string, key, row reflect.Type) Schema {
	s := Schema{Name: name}
	add := func(t reflect.Type, isKey bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			column := f.Tag.Get("db")
			if column == "" || !f.IsExported() {
				panic(fmt.Sprintf("table %s: field %s.%s needs a db tag", name, t.Name(), f.Name))
			}
			s.Columns = append(s.Columns,
				Column{Name: column, Kind: kindOf(f.Type), Key: isKey, field: i})
		}
	}
	add(key, true)
	s.Keys = len(s.Columns)
	add(row, false)
	if s.Columns[0].Name != "school" || s.Columns[0].Kind != KindText {
		panic(fmt.Sprintf("table %s: the first key column must be the text column school", name))
	}
	return s
}

func kindOf(t reflect.Type) Kind {
	switch t {
	case reflect.TypeFor[domain.Date]():
		return KindDate
	case reflect.TypeFor[time.Time]():
		return KindTime
	}
	switch t.Kind() {
	case reflect.String:
		return KindText
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		return KindInt
	case reflect.Float64:
		return KindFloat
	case reflect.Bool:
		return KindBool
	default:
		return KindJSON
	}
}

// Value returns the value of a column of a row, in a form that does not depend on the row's type:
// string, int64, float64, bool, [domain.Date], [time.Time] in UTC and microseconds, or JSON as a
// [jsontext.Value].
func (c *Column) Value(v reflect.Value) (any, error) {
	switch c.Kind {
	case KindText:
		return v.String(), nil
	case KindInt:
		return v.Int(), nil
	case KindFloat:
		return v.Float(), nil
	case KindBool:
		return v.Bool(), nil
	case KindDate:
		return domain.Date(v.Int()), nil
	case KindTime:
		return v.Interface().(time.Time).UTC().Truncate(time.Microsecond), nil
	default:
		text, err := json.Marshal(v.Interface(), json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("write column %s: %w", c.Name, err)
		}
		return jsontext.Value(text), nil
	}
}

// SetValue is the reverse of Value.
func (c *Column) SetValue(into reflect.Value, v any) error {
	switch v := v.(type) {
	case string:
		into.SetString(v)
	case int64:
		into.SetInt(v)
	case float64:
		into.SetFloat(v)
	case bool:
		into.SetBool(v)
	case domain.Date:
		into.SetInt(int64(v))
	case time.Time:
		into.Set(reflect.ValueOf(v))
	case jsontext.Value:
		if err := json.Unmarshal(v, into.Addr().Interface()); err != nil {
			return fmt.Errorf("read column %s: %w", c.Name, err)
		}
	default:
		return fmt.Errorf("read column %s: value of type %T", c.Name, v)
	}
	return nil
}
