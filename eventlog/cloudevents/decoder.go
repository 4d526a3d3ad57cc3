package cloudevents

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
)

// maxDepth is how deeply a value may be nested where the type does not say what it holds.
const maxDepth = 32

// decoder reads JSON into the structs of events and collects what is wrong with it. Decoders are
// pooled: their buffers, and short texts that recur, are reused from one event to the next.
type decoder struct {
	faults      domain.Faults
	strict      bool // unknown members are faults
	invalidJSON bool // the data was not JSON

	buf     bytes.Buffer
	json    *jsontext.Decoder
	scratch []byte
	seed    maphash.Seed
	texts   [512]string
}

var decoders = sync.Pool{New: func() any {
	return &decoder{json: new(jsontext.Decoder), seed: maphash.MakeSeed()}
}}

func newDecoder(strict bool) *decoder {
	d := decoders.Get().(*decoder)
	d.faults.List, d.strict, d.invalidJSON = nil, strict, false
	return d
}

func (d *decoder) release() {
	d.buf = bytes.Buffer{}
	d.faults.List = nil
	if cap(d.scratch) > 1<<16 {
		d.scratch = nil
	}
	decoders.Put(d)
}

// The names of an object are checked here against its plan, and texts one by one, so that a
// repeated name or a bad byte becomes a fault with a pointer and reading continues.
var lenient = []jsontext.Options{
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true),
}

func (d *decoder) reset(b []byte) {
	d.buf = *bytes.NewBuffer(b)
	d.json.Reset(&d.buf, lenient...)
}

// data reads the data of an event into v, a pointer to its struct. Pointers of faults begin at the
// data.
func (d *decoder) data(b []byte, p *plan, v reflect.Value) {
	d.reset(b)
	if k := d.json.PeekKind(); k != '{' && k != jsontext.KindInvalid {
		d.faults.Add("", "must be an object, not %s", kindName(k))
		return
	}
	err := d.object(p, v.Elem())
	if err == nil {
		err = d.end()
	}
	if err != nil {
		d.faults.Add("", "%s", syntaxReason(err))
		d.invalidJSON = true
	}
}

var errTrailing = errors.New("is followed by more than white space")

// end checks that nothing follows the value.
func (d *decoder) end() error {
	if d.json.PeekKind() != jsontext.KindInvalid {
		return errTrailing
	}
	if len(bytes.TrimLeft(d.json.UnreadBuffer(), " \t\r\n")) > 0 {
		return errTrailing
	}
	return nil
}

// object reads an object. Its error is one of syntax, after which nothing more can be read.
func (d *decoder) object(p *plan, v reflect.Value) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	var seen uint64
	for next := 0; ; next++ {
		switch d.json.PeekKind() {
		case '}':
			_, err := d.json.ReadToken()
			for i := range p.fields {
				if (p.required&^seen)>>i&1 != 0 {
					d.faults.Add(p.fields[i].pointer, "is required")
				}
			}
			return err
		}
		quoted, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		i, known := p.find(quoted, next)
		if !known {
			name, _ := jsontext.AppendUnquote(nil, quoted)
			if i, known = p.byName[string(name)]; !known {
				if err := d.unknown(p, string(name)); err != nil {
					return err
				}
				continue
			}
		}
		f := &p.fields[i]
		if seen>>i&1 != 0 {
			d.faults.Add(f.pointer, "is there twice")
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		seen |= 1 << i
		next = i
		if err := d.value(f, v.Field(f.index)); err != nil {
			return err
		}
	}
}

// find looks up a quoted name without escapes, trying the field that comes next in the usual order
// first.
func (p *plan) find(quoted []byte, next int) (int, bool) {
	name := quoted[1 : len(quoted)-1]
	if next < len(p.fields) && p.fields[next].name == string(name) {
		return next, true
	}
	i, ok := p.byName[string(name)]
	return i, ok
}

// unknown passes over a member that the type does not have.
func (d *decoder) unknown(p *plan, name string) error {
	pointer := p.prefix + "/" + escapePointer(name)
	if !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError) {
		d.faults.Add(pointer, "is not valid UTF-8")
	} else if d.strict {
		d.faults.Add(pointer, "is not a member of this type")
	}
	return d.skip(pointer)
}

// skip passes over a value of any shape.
func (d *decoder) skip(pointer string) error {
	base, reported := d.json.StackDepth(), false
	for {
		if _, err := d.json.ReadToken(); err != nil {
			return err
		}
		depth := d.json.StackDepth() - base
		if depth > maxDepth && !reported {
			d.faults.Add(pointer, "is nested more than %d levels deep", maxDepth)
			reported = true
		}
		if depth == 0 {
			return nil
		}
	}
}

func (d *decoder) value(f *field, v reflect.Value) error {
	if f.change {
		return d.change(f, v)
	}
	return d.plainValue(f, v)
}

// change reads what is said about an attribute that need not be mentioned. A value that is empty is
// a fault: a form that was not filled in must not remove what is known.
func (d *decoder) change(f *field, v reflect.Value) error {
	v.Field(0).SetBool(true)
	if d.json.PeekKind() == 'n' {
		return d.json.SkipValue()
	}
	before := len(d.faults.List)
	err := d.plainValue(f, v.Field(1))
	if err == nil && len(d.faults.List) == before && isEmpty(v.Field(1)) {
		d.faults.Add(f.pointer, "must not be empty: null removes it, and absent it stays as it is")
	}
	return err
}

// isEmpty reports an empty text, date or list.
func isEmpty(v reflect.Value) bool { return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 }

func (d *decoder) plainValue(f *field, v reflect.Value) error {
	k := d.json.PeekKind()
	switch f.kind {
	case kindObject:
		if k == '{' {
			return d.object(f.object, v)
		}
	case kindTexts:
		if k == '[' {
			return d.list(f, v)
		}
	case kindObjects:
		if k == '[' {
			return d.objects(f, v)
		}
	default:
		if k != '{' && k != '[' {
			raw, err := d.json.ReadValue()
			if err != nil {
				return err
			}
			d.scalar(f, k, raw, v)
			return nil
		}
	}
	if k == jsontext.KindInvalid {
		return d.json.SkipValue()
	}
	d.wrongType(f, k)
	return d.skip(f.pointer)
}

func (d *decoder) wrongType(f *field, k jsontext.Kind) {
	d.faults.Add(f.pointer, "must be %s, not %s", f.kind.noun(), kindName(k))
}

// list reads a list of texts. An empty one is as good as none.
func (d *decoder) list(f *field, v reflect.Value) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	var texts []string
	for i := 0; ; i++ {
		switch k := d.json.PeekKind(); k {
		case ']':
			v.Set(reflect.ValueOf(texts))
			_, err := d.json.ReadToken()
			return err
		case '"':
			raw, err := d.json.ReadValue()
			if err != nil {
				return err
			}
			text, ok := d.text(raw)
			if !ok {
				d.faults.Add(f.pointer+"/"+strconv.Itoa(i), "is not valid UTF-8")
			}
			texts = append(texts, text)
		case jsontext.KindInvalid:
			return d.json.SkipValue()
		default:
			pointer := f.pointer + "/" + strconv.Itoa(i)
			d.faults.Add(pointer, "must be a text, not %s", kindName(k))
			if err := d.skip(pointer); err != nil {
				return err
			}
		}
	}
}

// objects reads a list of objects. An empty one is as good as none.
func (d *decoder) objects(f *field, v reflect.Value) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	list := reflect.Zero(v.Type())
	for i := 0; ; i++ {
		pointer, before := f.pointer+"/"+strconv.Itoa(i), len(d.faults.List)
		switch k := d.json.PeekKind(); k {
		case ']':
			v.Set(list)
			_, err := d.json.ReadToken()
			return err
		case '{':
			entry := reflect.New(v.Type().Elem()).Elem()
			if err := d.object(f.object, entry); err != nil {
				return err
			}
			list = reflect.Append(list, entry)
			for n := range d.faults.List[before:] { // the plan is that of every entry
				fault := &d.faults.List[before+n]
				fault.Pointer = pointer + strings.TrimPrefix(fault.Pointer, f.pointer+anyEntry)
			}
		case jsontext.KindInvalid:
			return d.json.SkipValue()
		default:
			d.faults.Add(pointer, "must be an object, not %s", kindName(k))
			if err := d.skip(pointer); err != nil {
				return err
			}
		}
	}
}

// scalar reads a value that is neither an object nor a list.
func (d *decoder) scalar(f *field, k jsontext.Kind, raw []byte, v reflect.Value) {
	switch {
	case k == '"' && (f.kind == kindText || f.kind == kindLabel):
		text, ok := d.text(raw)
		if !ok {
			d.faults.Add(f.pointer, "is not valid UTF-8")
		}
		v.SetString(text)
	case k == '"' && f.kind == kindDate:
		text, _ := d.unquote(raw)
		date, err := domain.ParseDate(string(text))
		if err != nil {
			d.faults.Add(f.pointer, "must be a date that exists, for example 2021-08-31")
		}
		v.SetInt(int64(date))
	case k == '0' && (f.kind == kindInt || f.kind == kindLabel):
		n, ok := wholeNumber(raw)
		switch {
		case !ok:
			d.faults.Add(f.pointer, "must be %s", f.kind.noun())
		case f.kind == kindInt:
			v.SetInt(n)
		default:
			v.SetString(strconv.FormatInt(n, 10))
		}
	case k == '0' && f.kind == kindDecimal:
		n, exact, ok := domain.ParseDecimal(raw)
		switch {
		case !ok:
			d.faults.Add(f.pointer, "must be a number of a size that can be held")
			return
		case !exact && d.strict: // the log has numbers that were accepted before, and are rounded
			d.faults.Add(f.pointer, "must have at most 4 digits after the point")
			return
		}
		v.SetInt(int64(n))
	case (k == 't' || k == 'f') && f.kind == kindBool:
		v.SetBool(k == 't')
	default:
		d.wrongType(f, k)
	}
}

// wholeNumber reads a JSON number that is an integer, also one written as 5.0 or 5e2.
func wholeNumber(raw []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53 // up to here every integer has a float64 of its own
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > exact {
		return 0, false
	}
	return int64(n), true
}

// unquote returns the text of a JSON string, valid until the next call, and whether it is valid
// UTF-8.
func (d *decoder) unquote(quoted []byte) ([]byte, bool) {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text, utf8.Valid(text)
	}
	unquoted, err := jsontext.AppendUnquote(d.scratch[:0], quoted)
	d.scratch = unquoted
	return unquoted, err == nil
}

func (d *decoder) text(quoted []byte) (string, bool) {
	b, ok := d.unquote(quoted)
	return d.intern(b), ok
}

// intern makes a string of b, or returns one that it made before.
func (d *decoder) intern(b []byte) string {
	if len(b) == 0 || len(b) > 64 {
		return string(b)
	}
	s := &d.texts[maphash.Bytes(d.seed, b)%uint64(len(d.texts))]
	if *s != string(b) {
		*s = string(b)
	}
	return *s
}

// kindName names a kind of JSON value.
func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a text"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return "nothing"
}

// syntaxReason describes what is wrong with JSON that cannot be read.
func syntaxReason(err error) string {
	if errors.Is(err, errTrailing) {
		return err.Error()
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return "is not valid JSON: " + strings.TrimPrefix(syntax.Err.Error(), "jsontext: ") +
			" at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	}
	if errors.Is(err, io.EOF) {
		return "is empty"
	}
	return "is not valid JSON: " + strings.TrimPrefix(err.Error(), "jsontext: ")
}
