package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is what a benchmark has measured.
type Result struct {
	Benchmark string   `json:"benchmark"`
	Setup     string   `json:"setup"`
	Figures   []Figure `json:"figures"`
}

// Figure is one measured value.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Note  string  `json:"note,omitzero"`
}

func (r *Result) add(name string, value float64, unit, note string) {
	r.Figures = append(r.Figures, Figure{name, value, unit, note})
}

// addLatencies adds the usual quantiles in milliseconds.
func (r *Result) addLatencies(name string, d []time.Duration, note string) {
	if len(d) == 0 {
		return
	}
	slices.Sort(d)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		r.add(name+" "+q.name, quantile(d, q.at).Seconds()*1000, "ms", note)
		note = ""
	}
}

// quantile reads a quantile of sorted durations, by the nearest rank.
func quantile(sorted []time.Duration, q float64) time.Duration {
	i := int(q*float64(len(sorted))+0.5) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s\n\n", r.Benchmark, r.Setup)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		fmt.Fprintf(table, "  %s\t%s %s\t%s\n", f.Name, number(f.Value), f.Unit, f.Note)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// number prints three significant digits at least, and thousands apart.
func number(v float64) string {
	if v < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Progress receives what a benchmark is doing, for people who wait for it. It may be nil.
type Progress func(stage string)

func (p Progress) report(format string, args ...any) {
	if p != nil {
		p(fmt.Sprintf(format, args...))
	}
}
