package marks

import (
	"cmp"
	"math/bits"

	"github.com/schoolbell/schoolbell/domain"
)

// Attempt is one attempt at an assessment.
type Attempt struct {
	Number     int64
	Status     string // why there is no score; empty when there is one
	Score, Max domain.Decimal
}

// Value is what counts of a student's attempts at an assessment: a fraction of ten-thousandths of
// points. Tries is the number of attempts that are in both parts of it.
type Value struct{ Score, Max, Tries int64 }

// ValueOf returns what counts of attempts, which are in the order of their numbers, and whether there
// is any score among them.
func (r *Rules) ValueOf(attempts []Attempt) (v Value, ok bool) {
	for _, a := range attempts {
		if a.Status != "" {
			continue
		}
		this := Value{int64(a.Score), int64(a.Max), 1}
		if !r.ExtraCredit {
			this.Score = min(this.Score, this.Max)
		}
		switch {
		case ok && r.Attempts == Mean:
			v = Value{v.Score + this.Score, v.Max + this.Max, v.Tries + 1}
		case !ok || r.Attempts != Best || this.Compare(v) > 0:
			v = this
		}
		ok = true
	}
	return v, ok
}

// Compare compares two values exactly.
func (v Value) Compare(o Value) int {
	if v.Max == o.Max {
		return cmp.Compare(v.Score, o.Score)
	}
	hi, lo := bits.Mul64(uint64(v.Score), uint64(o.Max))
	otherHi, otherLo := bits.Mul64(uint64(o.Score), uint64(v.Max))
	return cmp.Or(cmp.Compare(hi, otherHi), cmp.Compare(lo, otherLo))
}

// Passes reports a value of at least so many percent.
func (v Value) Passes(percent int64) bool { return 100*v.Score >= percent*v.Max }

// Bins is the number of bins of a distribution, a tenth of the maximum each.
const Bins = 10

// Bin returns the bin of a distribution that a value is in. The last one has all from 90 % on.
func (v Value) Bin() int { return int(min(Bins*v.Score/v.Max, Bins-1)) }

// Percent returns a value in percent with two decimals.
func (v Value) Percent() float64 {
	hi, lo := bits.Mul64(uint64(v.Score), 2*hundredths)
	lo, carry := bits.Add64(lo, uint64(v.Max), 0)
	n, _ := bits.Div64(hi+carry, lo, 2*uint64(v.Max)) // a score is at most twice its maximum
	return float64(n) / 100
}

// hundredths is the number of hundredths of a percent in 1.
const hundredths = 10_000
