package postgres

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

// Columns go to PostgreSQL as arrays in its binary format, a whole column of a batch at a time, and
// come back value by value. The format is that of array_send and of the element types' send
// functions in PostgreSQL's source. pgx could encode slices itself, but only by boxing each value:
// rows are reached by reflection here, and written without a copy.

// sqlTypes are the types that the kinds of columns are sent as, by kind.
var sqlTypes = [...]struct {
	name string
	oid  uint32
}{
	projections.KindText:  {"text", 25},
	projections.KindInt:   {"int8", 20},
	projections.KindFloat: {"float8", 701},
	projections.KindBool:  {"bool", 16},
	projections.KindDate:  {"date", 1082},
	projections.KindTime:  {"timestamptz", 1184},
	projections.KindJSON:  {"jsonb", 3802},
}

const (
	unixDaysOf2000   = 10_957
	unixMicrosOf2000 = 946_684_800_000_000
	jsonbVersion     = 1
)

// appendArray appends n values of a kind as an array.
func appendArray(
	b []byte, kind projections.Kind, n int, value func(i int) reflect.Value,
) ([]byte, error) {
	b, nulls := appendArrayHeader(b, sqlTypes[kind].oid, n)
	for i := range n {
		v := value(i)
		switch kind {
		case projections.KindText:
			text := v.String()
			b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
			b = append(b, text...)
		case projections.KindInt:
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, uint64(v.Int()))
		case projections.KindFloat:
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float()))
		case projections.KindBool:
			b = append(b, 0, 0, 0, 1, 0)
			if v.Bool() {
				b[len(b)-1] = 1
			}
		case projections.KindDate:
			date := domain.Date(v.Int())
			if date.IsZero() {
				b = appendNull(b, nulls)
				continue
			}
			b = binary.BigEndian.AppendUint32(b, 4)
			b = binary.BigEndian.AppendUint32(b, uint32(date.UnixDays()-unixDaysOf2000))
		case projections.KindTime:
			t := v.Interface().(time.Time)
			if t.IsZero() {
				b = appendNull(b, nulls)
				continue
			}
			b = binary.BigEndian.AppendUint32(b, 8)
			b = binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro()-unixMicrosOf2000))
		default:
			text, err := json.Marshal(v.Interface(), json.Deterministic(true))
			if err != nil {
				return nil, fmt.Errorf("write JSON: %w", err)
			}
			b = binary.BigEndian.AppendUint32(b, uint32(len(text)+1))
			b = append(append(b, jsonbVersion), text...)
		}
	}
	return b, nil
}

// appendArrayHeader starts a one-dimensional array and returns the index of its "has nulls" flag.
func appendArrayHeader(b []byte, oid uint32, n int) ([]byte, int) {
	if n == 0 {
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
		return binary.BigEndian.AppendUint32(b, oid), 0
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0)
	nulls := len(b) - 1
	b = binary.BigEndian.AppendUint32(b, oid)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, 0, 0, 0, 1), nulls // its subscripts begin at 1
}

func appendNull(b []byte, nulls int) []byte {
	b[nulls] = 1
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

// decodeValue reads a value as [projections.Column.Value] returns it.
func decodeValue(kind projections.Kind, raw []byte) (any, error) {
	switch kind {
	case projections.KindText:
		return string(raw), nil
	case projections.KindInt:
		switch len(raw) {
		case 2:
			return int64(int16(binary.BigEndian.Uint16(raw))), nil
		case 4:
			return int64(int32(binary.BigEndian.Uint32(raw))), nil
		case 8:
			return int64(binary.BigEndian.Uint64(raw)), nil
		}
	case projections.KindFloat:
		switch len(raw) {
		case 4:
			return float64(math.Float32frombits(binary.BigEndian.Uint32(raw))), nil
		case 8:
			return math.Float64frombits(binary.BigEndian.Uint64(raw)), nil
		}
	case projections.KindBool:
		if len(raw) == 1 {
			return raw[0] != 0, nil
		}
	case projections.KindDate:
		switch len(raw) {
		case 0:
			return domain.Date(0), nil
		case 4:
			return domain.DateFromUnixDays(int32(binary.BigEndian.Uint32(raw)) + unixDaysOf2000),
				nil
		}
	case projections.KindTime:
		switch len(raw) {
		case 0:
			return time.Time{}, nil
		case 8:
			return time.UnixMicro(int64(binary.BigEndian.Uint64(raw)) + unixMicrosOf2000).UTC(), nil
		}
	default:
		if len(raw) > 0 && raw[0] == jsonbVersion {
			raw = raw[1:]
		}
		return jsontext.Value(append([]byte(nil), raw...)), nil
	}
	return nil, fmt.Errorf("value of %d bytes where %s was expected", len(raw), sqlTypes[kind].name)
}
