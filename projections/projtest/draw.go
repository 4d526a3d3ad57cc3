package projtest

import (
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/projections"
)

// Events returns events of every type in the catalogue, the same for the same seed, in the order of
// a log.
func Events(seed, atLeast int) []*domain.Envelope {
	facts := newestFacts(func(reflect.Type) bool { return true })
	gen := rapid.Custom(func(t *rapid.T) []*domain.Envelope { return draw(t, facts) })
	var events []*domain.Envelope
	for ; len(events) < atLeast; seed++ {
		events = append(events, gen.Example(seed)...)
	}
	for i, e := range events {
		e.Position.Offset = int64(i)
	}
	return events
}

// foldedBy returns the facts that some projection of a set folds.
func foldedBy(set *projections.Set) []domain.Fact { return newestFacts(set.Folds) }

// newestFacts returns the newest versions, which alone are ever folded, of some types.
func newestFacts(wanted func(reflect.Type) bool) (facts []domain.Fact) {
	for _, f := range catalog.Facts() {
		if f.Upcast == nil && wanted(reflect.PointerTo(f.GoType())) {
			facts = append(facts, f)
		}
	}
	return facts
}

// draw makes up to a hundred events about a few ids, so that they meet. Each run draws which of the
// facts it is made of: only in a run of few types do their counts grow high enough for what happens
// from ten marks on.
func draw(t *rapid.T, facts []domain.Fact) []*domain.Envelope {
	facts = rapid.Permutation(facts).Draw(t,
		"facts")[:rapid.IntRange(1, len(facts)).Draw(t, "types")]
	events := make([]*domain.Envelope, rapid.IntRange(1, 100).Draw(t, "events"))
	for i := range events {
		f := rapid.SampledFrom(facts).Draw(t, "fact")
		events[i] = &domain.Envelope{
			ID:       fmt.Sprintf("e%d-%d", i, rapid.IntRange(0, 2).Draw(t, "attempt")),
			Type:     f.Type,
			Source:   rapid.SampledFrom([]string{"/a", "/b"}).Draw(t, "source"),
			School:   rapid.SampledFrom([]string{"oak", "oak", "elm"}).Draw(t, "school"),
			Time:     time.Date(2026, 9, 1+i, 8, 0, 0, 123456789, time.UTC),
			Position: domain.Position{Offset: int64(i)},
			Data:     drawData(t, f),
		}
	}
	return events
}

// drawData makes valid data of a fact from its struct and from the rules that its validation
// applies.
func drawData(t *rapid.T, f domain.Fact) domain.Event {
	probe := f.New()
	fill(reflect.ValueOf(probe).Elem())
	g := generator{rules: domain.RulesOf(probe), choose: func(label string, n int) int {
		return rapid.IntRange(0, n-1).Draw(t, label)
	}}
	// The key stands for the fact: events with the same payment id are about the same payment, so
	// all the rest of it follows from the key.
	key, keyed := -1, slices.ContainsFunc(slices.Collect(maps.Values(g.rules)), isKey)
	if keyed {
		key = rapid.IntRange(0, len(keys)-1).Draw(t, "key")
	}
	var faults domain.Faults
	for try := range 100 {
		if keyed {
			g.key = keys[key]
			g.choose = func(label string, n int) int { return hash(f.Type, g.key, label, try) % n }
		}
		e := f.New()
		g.fill(f.Type, "", reflect.ValueOf(e).Elem())
		if faults = (domain.Faults{}); valid(e, &faults) {
			return e
		}
	}
	t.Fatalf("%s: no valid data in 100 tries, the last had faults %v; rules between fields must "+
		"be easy to meet, or projtest has to be told how", f.Type, faults.List)
	return nil
}

func valid(e domain.Event, f *domain.Faults) bool {
	e.Validate(f)
	return len(f.List) == 0
}

func isKey(rules []domain.Rule) bool {
	return slices.ContainsFunc(rules, func(r domain.Rule) bool { return r.Key })
}

func hash(parts ...any) int {
	h := fnv.New32a()
	fmt.Fprint(h, parts...)
	return int(h.Sum32() >> 1)
}

// fill puts something into every text and list, so that validation looks at it.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	}
}

// What values are drawn from. All ids are from the same few, whatever they name: so a document
// meets the delivery that it came of, which has the same id under another name.
var (
	ids    = []string{"a", "b", "c", "d"}
	keys   = []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	labels = []string{"1", "2"}
	texts  = []string{"A", "B", "Å"}
	forms  = map[domain.Format][]string{
		domain.FormatID:       ids,
		domain.FormatText:     texts,
		domain.FormatName:     texts,
		domain.FormatLine:     texts,
		domain.FormatCurrency: currencies,
		domain.FormatURL:      {"https://example.org/a", "https://example.org/b"},
		domain.FormatPhone:    {"555", "777"},
		domain.FormatEmail:    {"a@example.org", "b@example.org"},
		domain.FormatLanguage: {"es", "de"},
		domain.FormatSHA256:   {strings.Repeat("0", 64), strings.Repeat("f", 64)},
	}
	currencies = []string{"EUR", "USD"}
	numbers    = []int64{0, 1, 2, 10, 25, 30, 100}
)

// generator draws the data of one fact.
type generator struct {
	rules  map[string][]domain.Rule
	choose func(label string, n int) int // one of 0 to n-1
	key    string                        // of the fact, if it has one
}

func (g *generator) fill(wireType, pointer string, v reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if at := pointer + "/" + name; options != "omitzero" || g.choose(at+" is there", 3) > 0 {
			g.value(wireType, at, v.Field(i))
		}
	}
	// What is paid for an invoice is in its currency.
	invoice, currency := v.FieldByName("InvoiceID"), v.FieldByName("Currency")
	if invoice.IsValid() && currency.IsValid() {
		currency.SetString(currencies[invoice.String()[0]%2])
	}
}

func (g *generator) value(wireType, pointer string, v reflect.Value) {
	if _, ok := domain.ChangeOf(v.Type()); ok {
		v.Field(0).SetBool(true)
		if g.choose(pointer+" is removed", 3) > 0 {
			g.value(wireType, pointer, v.Field(1))
		}
		return
	}
	rules := g.rules[pointer]
	switch v.Interface().(type) {
	case domain.Date:
		v.Set(reflect.ValueOf(domain.NewDate(2026, 9, 1+g.choose(pointer, 13))))
		return
	case domain.Label:
		v.SetString(labels[g.choose(pointer, len(labels))])
		return
	case domain.Decimal:
		v.SetInt(g.number(pointer, rules) * int64(domain.DecimalUnit))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(g.text(pointer, rules))
	case reflect.Int64:
		v.SetInt(g.number(pointer, rules))
	case reflect.Bool:
		v.SetBool(g.choose(pointer, 2) == 1)
	case reflect.Struct:
		g.fill(wireType, pointer, v)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), g.choose(pointer+" length", 3), 2))
		for i := range v.Len() {
			if entry := v.Index(i); entry.Kind() == reflect.Struct {
				g.fill(wireType, pointer+"/0", entry)
			} else {
				entry.SetString(g.text(pointer+"/0", g.rules[pointer+"/0"]))
			}
		}
	default:
		panic(fmt.Sprintf("%s: field %s is a %s: want a text, label, date, decimal, int64, bool, "+
			"list of texts or struct",
			wireType, pointer, v.Type()))
	}
}

func (g *generator) text(pointer string, rules []domain.Rule) string {
	if isKey(rules) {
		return g.key
	}
	from := texts
	for _, r := range rules {
		if r.Format != "" {
			from = forms[r.Format]
		}
	}
	for _, r := range rules {
		if len(r.Enum) > 0 {
			from = r.Enum
		}
	}
	return from[g.choose(pointer, len(from))]
}

// number chooses among those that the rules allow.
func (g *generator) number(pointer string, rules []domain.Rule) int64 {
	from := slices.DeleteFunc(slices.Clone(numbers), func(n int64) bool {
		return slices.ContainsFunc(rules, func(r domain.Rule) bool {
			return r.Max != 0 && (n < r.Min || n > r.Max || r.Above && n == r.Min ||
				r.Below && n == r.Max)
		})
	})
	return from[g.choose(pointer, len(from))]
}
