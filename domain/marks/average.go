package marks

import (
	"cmp"
	"math/big"
	"slices"
)

// keyUnit is the number of units of a key in 1.
const keyUnit = 1_000_000_000_000

// Average is an average, exact. It is valid for as long as its sum and rules do not change.
type Average struct {
	// key is the average in units of 10⁻¹², truncated; it may be one less than that.
	key   int64
	sum   *Sum
	rules *Rules
}

// Key returns the first twelve digits of the average: floor(average × 10¹²), or one less than that.
func (a *Average) Key() int64 { return a.key }

// Compare compares two averages exactly: by the keys, and where these are neighbours by the fractions.
func (a *Average) Compare(b *Average) int {
	if d := a.key - b.key; d < -1 || d > 1 {
		return cmp.Compare(a.key, b.key)
	}
	if len(a.sum.parts) == 1 && len(b.sum.parts) == 1 { // all methods are the same then
		return a.sum.parts[0].mean().Compare(b.sum.parts[0].mean())
	}
	an, ad := a.sum.fraction(a.rules)
	bn, bd := b.sum.fraction(b.rules)
	return an.Mul(an, bd).Cmp(bn.Mul(bn, ad))
}

// Below reports an average of less than so many percent.
func (a *Average) Below(percent int64) bool {
	limit := percent * (keyUnit / 100)
	if a.key >= limit || a.key < limit-2 {
		return a.key < limit
	}
	n, d := a.sum.fraction(a.rules)
	return n.Mul(n, big.NewInt(100)).Cmp(d.Mul(d, big.NewInt(percent))) < 0
}

// Percent returns the average in percent with two decimals, rounded half away from zero.
func (a *Average) Percent() float64 {
	const unit = keyUnit / hundredths
	n, rest := (a.key+unit/2)/unit, (a.key+unit/2)%unit
	if rest >= unit-2 { // the average may be on the other side
		num, den := a.sum.fraction(a.rules)
		n = rounded(num, den, hundredths)
	}
	return float64(n) / 100
}

// rounded returns n / d × unit as an integer, rounded half away from zero. It changes both.
func rounded(n, d *big.Int, unit int64) int64 {
	n.Mul(n, big.NewInt(2*unit)).Add(n, d)
	return n.Quo(n, d.Lsh(d, 1)).Int64()
}

// Rank returns the order of averages, the best first and equal ones by tie, and the rank of each, in
// the order of the averages. Equal ones share a rank, and the next one counts all before it: 1, 1, 3.
func Rank(averages []Average, tie func(i, j int) int) (order []int, ranks []int64) {
	order, ranks = make([]int, len(averages)), make([]int64, len(averages))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(averages[j].Compare(&averages[i]), tie(i, j))
	})
	for at, i := range order {
		ranks[i] = int64(at + 1)
		if at > 0 && averages[i].Compare(&averages[order[at-1]]) == 0 {
			ranks[i] = ranks[order[at-1]]
		}
	}
	return order, ranks
}
