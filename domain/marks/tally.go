package marks

import (
	"cmp"
	"math"
	"math/big"
	"math/bits"
	"slices"
)

// Tally counts values, each alike, for what an average does not say of them. The zero value is empty.
type Tally struct{ counts map[Value]int64 }

// Add counts a value.
func (t *Tally) Add(v Value) {
	if t.counts == nil {
		t.counts = map[Value]int64{}
	}
	t.counts[v]++
}

// AddTally counts the values of another tally.
func (t *Tally) AddTally(o *Tally) {
	if t.counts == nil {
		t.counts = make(map[Value]int64, len(o.counts))
	}
	for v, n := range o.counts {
		t.counts[v] += n
	}
}

// Description says how values are distributed, in percent with two decimals.
type Description struct {
	Passed    int64
	Bins      [Bins]int64
	StdDev    float64    // of these values as a population
	Quartiles [3]float64 // the second is the median
}

// Describe describes the values, of which there must be some.
func (t *Tally) Describe(pass int64) Description {
	var d Description
	all := make([]counted, 0, len(t.counts))
	var n int64
	for v, times := range t.counts {
		all = append(all, counted{v, v.key(), times})
		n += times
		d.Bins[v.Bin()] += times
		if v.Passes(pass) {
			d.Passed += times
		}
	}
	slices.SortFunc(all, func(a, b counted) int {
		if c := cmp.Compare(a.key, b.key); c != 0 {
			return c
		}
		return a.Compare(b.Value)
	})
	d.StdDev = float64(stdDev(all, n)) / 100
	for q := range d.Quartiles {
		d.Quartiles[q] = float64(quantile(all, n, int64(q+1))) / 100
	}
	return d
}

// counted is a value with how often there is it.
type counted struct {
	Value
	key   uint64 // sorts as the value does; different values may share one
	times int64
}

func (v Value) key() uint64 {
	hi, lo := bits.Mul64(uint64(v.Score), fine)
	key, _ := bits.Div64(hi, lo, uint64(v.Max))
	return key
}

// quantile returns the quarter q of sorted values in hundredths of a percent, between two of them in
// proportion, as spreadsheets do it (QUARTILE.INC).
func quantile(all []counted, n, q int64) int64 {
	at, rest := q*(n-1)/4, q*(n-1)%4
	low := nth(all, at)
	if rest == 0 {
		return rounded(big.NewInt(low.Score), big.NewInt(low.Max), hundredths)
	}
	high := nth(all, at+1)
	num, den := plus(big.NewInt((4-rest)*low.Score), big.NewInt(low.Max),
		big.NewInt(rest*high.Score), big.NewInt(high.Max))
	return rounded(num, den.Lsh(den, 2), hundredths)
}

func nth(all []counted, at int64) Value {
	for i := range all {
		if at -= all[i].times; at < 0 {
			return all[i].Value
		}
	}
	return all[len(all)-1].Value
}

// stdDev returns the standard deviation of values in hundredths of a percent. Where binary fractions
// cannot tell on which side of a half it is, integers do.
func stdDev(all []counted, n int64) int64 {
	mean := 0.0
	for i := range all {
		mean += float64(all[i].times) * float64(all[i].Score) / float64(all[i].Max)
	}
	mean /= float64(n)
	variance := 0.0
	for i := range all {
		d := float64(all[i].Score)/float64(all[i].Max) - mean
		variance += float64(all[i].times) * d * d
	}
	about := math.Sqrt(variance/float64(n)) * hundredths
	if _, fraction := math.Modf(about); math.Abs(fraction-0.5) > 1e-6 {
		return int64(math.Round(about))
	}
	return exactStdDev(all, n)
}

func exactStdDev(all []counted, n int64) int64 {
	// n²·variance = n·Σv² − (Σv)²
	sum, squares := new(big.Rat), new(big.Rat)
	for i := range all {
		v, times := big.NewRat(all[i].Score, all[i].Max), new(big.Rat).SetInt64(all[i].times)
		sum.Add(sum, new(big.Rat).Mul(v, times))
		squares.Add(squares, v.Mul(v, v).Mul(v, times))
	}
	squares.Mul(squares, new(big.Rat).SetInt64(n)).Sub(squares, sum.Mul(sum, sum))
	// rounded(√x) = ⌊(⌊√(4x)⌋ + 1) / 2⌋
	const scale = 2 * hundredths
	squares.Mul(squares, big.NewRat(scale*scale, 1)).Quo(squares, new(big.Rat).SetInt(
		new(big.Int).Mul(big.NewInt(n), big.NewInt(n))))
	root := new(big.Int).Quo(squares.Num(), squares.Denom())
	return (root.Sqrt(root).Int64() + 1) / 2
}
