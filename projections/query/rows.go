package query

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
)

// Summary is the table of a result's own members, those in no list, as one row.
const Summary = "summary"

// Table is a part of a result that can be written as rows: a list of objects, or [Summary].
type Table struct {
	// Name is the list's in JSON.
	Name string
	// Cursor is the parameter that takes the next page of the list; "" when all of it is in one.
	Cursor string

	list    []int // the field of the result; nil for the summary
	columns []column
}

// column is one member of a row. Members of objects within it are columns too, named "object.member";
// of lists and maps within it the JSON is one cell.
type column struct {
	name  string
	path  []int
	empty bool // a zero value is absent from the JSON, and so from the row
	// across names the list of the result that has a column for each item, and in whose order the
	// member of a row lists its cells
	across string
}

// Rows writes a table of a result: first the names of the columns, then a record for each row. Whole
// writes the rows of all pages from the requested one on; otherwise next is the cursor of the page
// after it.
type Rows func(
	ctx context.Context, tx pgx.Tx, scope Scope, t *Table, whole bool, write func(record []string) error,
) (next string, err error)

// tablesOf returns what results of a type have as tables: the first is the one that is meant unless
// another is named.
func tablesOf(input, result reflect.Type) []*Table {
	var tables []*Table
	summary := &Table{Name: Summary}
	var last *Table
	eachMember(result, nil, func(name string, f reflect.StructField, path []int, empty bool) {
		row := f.Type
		switch {
		case name == "next" && last != nil:
			last.Cursor = cursorOf(input)
		case row.Kind() == reflect.Slice && isObject(row.Elem()):
			last = &Table{Name: name, list: path, columns: columnsOf(row.Elem(), "", nil)}
			tables = append(tables, last)
		case name != "$schema":
			summary.columns = append(summary.columns, cells(name, f, path, empty)...)
		}
	})
	if len(summary.columns) > 0 {
		tables = append(tables, summary)
	}
	return tables
}

// eachMember visits the members of an object in the order of its JSON, with those of embedded ones.
func eachMember(
	t reflect.Type, at []int,
	visit func(name string, f reflect.StructField, path []int, empty bool),
) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := append(append([]int{}, at...), i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			eachMember(f.Type, path, visit)
		case !f.IsExported() || name == "-":
		default:
			visit(name, f, path, strings.Contains(options, "omit"))
		}
	}
}

func columnsOf(row reflect.Type, prefix string, at []int) (columns []column) {
	eachMember(indirect(row), at, func(name string, f reflect.StructField, path []int, empty bool) {
		columns = append(columns, cells(prefix+name, f, path, empty)...)
	})
	return columns
}

// cells returns the columns of a member.
func cells(name string, f reflect.StructField, path []int, empty bool) []column {
	if isObject(f.Type) {
		return columnsOf(f.Type, name+".", path)
	}
	return []column{{name, path, empty, f.Tag.Get("across")}}
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// isObject says whether a type's JSON is an object with members of its own: types that write
// themselves, such as times, are one value.
func isObject(t reflect.Type) bool {
	t = indirect(t)
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, writes := range []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.MarshalerTo](),
		reflect.TypeFor[interface{ MarshalText() ([]byte, error) }](),
	} {
		if t.Implements(writes) || reflect.PointerTo(t).Implements(writes) {
			return false
		}
	}
	return true
}

// rows makes the function that writes tables of a query's results for an input.
func (q Query[In, Out]) rows(in *In) Rows {
	return func(
		ctx context.Context, tx pgx.Tx, scope Scope, t *Table, whole bool,
		write func([]string) error,
	) (next string, err error) {
		input := *in
		cursor, biggest := paging(&input)
		if whole && t.Cursor != "" && biggest != nil {
			biggest()
		}
		for first := true; ; first = false {
			out, err := q.Run(ctx, tx, scope, &input)
			if err != nil {
				return "", err
			}
			result := reflect.ValueOf(out).Elem()
			if first {
				if err := write(t.header(result)); err != nil {
					return "", err
				}
			}
			if err := t.write(result, write); err != nil {
				return "", err
			}
			if t.Cursor == "" {
				return "", nil
			}
			next = result.FieldByName("Next").String()
			if !whole || next == "" {
				return next, nil
			}
			cursor.SetString(next)
		}
	}
}

// cursorOf returns the parameter of an input that takes the next page.
func cursorOf(input reflect.Type) string {
	for f := range input.Fields() {
		if name := f.Tag.Get("query"); name == "after" || name == "before" {
			return name
		}
	}
	return ""
}

// paging returns where the cursor of an input is, and what makes its pages as large as they can be.
func paging[In any](in *In) (cursor reflect.Value, biggest func()) {
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		switch f := v.Type().Field(i); f.Tag.Get("query") {
		case "after", "before":
			cursor = v.Field(i)
		case "limit":
			if limit, err := strconv.ParseInt(f.Tag.Get("maximum"), 10, 64); err == nil {
				biggest = func() { v.Field(i).SetInt(limit) }
			}
		}
	}
	return cursor, biggest
}

func (t *Table) header(result reflect.Value) (record []string) {
	for _, c := range t.columns {
		if c.across == "" {
			record = append(record, c.name)
			continue
		}
		items := result.FieldByName(c.across)
		for i := range items.Len() {
			record = append(record, fmt.Sprint(items.Index(i).Interface()))
		}
	}
	return record
}

func (t *Table) write(result reflect.Value, write func([]string) error) error {
	if t.list == nil {
		record, err := t.record(result)
		if err != nil {
			return err
		}
		return write(record)
	}
	list := result.FieldByIndex(t.list)
	for i := range list.Len() {
		record, err := t.record(reflect.Indirect(list.Index(i)))
		if err != nil {
			return err
		}
		if err := write(record); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) record(row reflect.Value) ([]string, error) {
	record := make([]string, 0, len(t.columns))
	for _, c := range t.columns {
		v, err := row.FieldByIndexErr(c.path)
		switch {
		case err != nil || c.empty && v.IsZero(): // within an object that is absent, or absent itself
			record = append(record, "")
			continue
		case c.across != "":
			for i := range v.Len() {
				text, err := cell(v.Index(i))
				if err != nil {
					return nil, err
				}
				record = append(record, text)
			}
			continue
		}
		text, err := cell(v)
		if err != nil {
			return nil, fmt.Errorf("write column %s: %w", c.name, err)
		}
		record = append(record, text)
	}
	return record, nil
}

// cell returns a value as it stands in the JSON: texts without quotes, nothing for null.
func cell(v reflect.Value) (string, error) {
	text, err := json.Marshal(v.Interface(), json.Deterministic(true))
	if err != nil {
		return "", err
	}
	switch jsontext.Value(text).Kind() {
	case 'n':
		return "", nil
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		return Inert(s), err
	}
	return string(text), nil
}

// Inert returns a text that no spreadsheet takes for a formula: one that begins as a formula does
// gets an apostrophe before it. Names come from producers, and files are opened by offices.
func Inert(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(text)[0]) {
		return "'" + text
	}
	return text
}
