package marks

import (
	"cmp"
	"fmt"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
)

const points = domain.DecimalUnit

func of(score, max domain.Decimal) Value { return Value{int64(score), int64(max), 1} }

func sumOf(values ...Value) *Sum {
	s := &Sum{}
	for _, v := range values {
		s.Add(Kind{}, v)
	}
	return s
}

func percentOf(t *testing.T, r Rules, s *Sum) float64 {
	a, ok := s.Average(&r)
	require.True(t, ok)
	return a.Percent()
}

// Each row was once wrong: percentages were rounded before they were averaged.
func TestAveragesAreRoundedOnceWhenShown(t *testing.T) {
	t.Parallel()
	half := func(score, times int, other, otherTimes int) *Sum {
		s := &Sum{}
		for range times {
			s.Add(Kind{}, of(domain.Decimal(score)*points, 100*points))
		}
		for range otherTimes {
			s.Add(Kind{}, of(domain.Decimal(other)*points, 100*points))
		}
		return s
	}
	equal := Rules{Method: Equal}
	require.InDelta(t, 73.23, percentOf(t, equal, half(73, 31, 74, 9)), 0, "73.225, half away from zero")
	require.InDelta(t, 66.88, percentOf(t, equal, half(66, 1, 67, 7)), 0, "66.875")
	require.InDelta(t, 33.33, percentOf(t, equal, sumOf(of(1*points, 6*points), of(1*points, 6*points),
		of(4*points, 6*points))), 0)
	require.InDelta(t, 61.67, percentOf(t, equal, sumOf(of(9*points, 10*points), of(1*points, 3*points))), 0)
	require.InDelta(t, 0, percentOf(t, equal, sumOf(of(0, 10*points))), 0)
	require.InDelta(t, 99.99, Value{99985, 100000, 1}.Percent(), 0, "99.985")
}

func TestAPassIsAPassOfTheExactValue(t *testing.T) {
	t.Parallel()
	for _, v := range []Value{of(499960, 1000000), of(12499000, 25000000)} {
		require.False(t, v.Passes(50))
		require.Equal(t, 4, v.Bin())
		a, _ := sumOf(v).Average(&Rules{})
		require.True(t, a.Below(50))
	}
	exactly := of(10*points, 20*points)
	require.True(t, exactly.Passes(50))
	require.Equal(t, 5, exactly.Bin())
	a, _ := sumOf(exactly).Average(&Rules{})
	require.False(t, a.Below(50))
	require.Equal(t, 9, of(20*points, 20*points).Bin())
	require.Equal(t, 9, of(22*points, 20*points).Bin(), "extra credit")
}

// Five quizzes of five points and a final of a hundred.
func TestSchoolsChooseHowScoresMakeAnAverage(t *testing.T) {
	t.Parallel()
	s := &Sum{}
	for range 5 {
		s.Add(Kind{Category: "quiz"}, of(5*points, 5*points))
	}
	s.Add(Kind{Category: "final"}, of(40*points, 100*points))
	require.InDelta(t, 90, percentOf(t, Rules{Method: Equal}, s), 0)
	require.InDelta(t, 52, percentOf(t, Rules{Method: Points}, s), 0)
	weights := Rules{Method: Weights, Categories: map[string]int64{"quiz": 25, "final": 75}}
	require.InDelta(t, 55, percentOf(t, weights, s), 0)

	s.Add(Kind{Category: "final", Weight: 3 * points}, of(100*points, 100*points))
	require.InDelta(t, 88.75, percentOf(t, weights, s), 0, "(25·1 + 75·(0.4 + 3·1)/4) / 100")
	require.False(t, weights.Counts(Kind{Category: "homework"}), "has no weight")
	require.False(t, weights.Counts(Kind{Scale: "ACT", Category: "quiz"}))
	require.True(t, weights.Counts(Kind{Percent, "quiz", 0}.Or(Kind{Scale: "ACT"})))
	require.Equal(t, Kind{"ACT", "quiz", 2 * points},
		Kind{Category: "quiz"}.Or(Kind{"ACT", "final", 2 * points}), "a score's own kind comes first")
}

func TestSchoolsChooseWhichAttemptCounts(t *testing.T) {
	t.Parallel()
	attempts := []Attempt{
		{Number: 1, Score: 8 * points, Max: 10 * points},
		{Number: 2, Score: 6 * points, Max: 20 * points},
		{Number: 3, Status: "absent"},
	}
	for rule, want := range map[Attempts]Value{
		"":     {6 * int64(points), 20 * int64(points), 1},
		Latest: {6 * int64(points), 20 * int64(points), 1},
		Best:   {8 * int64(points), 10 * int64(points), 1},
		Mean:   {14 * int64(points), 30 * int64(points), 2},
	} {
		r := Rules{Attempts: rule}
		v, ok := r.ValueOf(attempts)
		require.True(t, ok)
		require.Equal(t, want, v, rule)
	}
	r := Rules{}
	_, ok := r.ValueOf(attempts[2:])
	require.False(t, ok, "there is no score")

	extra := []Attempt{{Score: 11 * points, Max: 10 * points}}
	v, _ := r.ValueOf(extra)
	require.Equal(t, of(10*points, 10*points), v, "the school does not allow extra credit")
	r.ExtraCredit = true
	v, _ = r.ValueOf(extra)
	require.Equal(t, of(11*points, 10*points), v)

	// With points, several attempts together weigh as much as one.
	s := sumOf(Value{14 * int64(points), 30 * int64(points), 3}, of(0, 10*points))
	require.InDelta(t, 23.33, percentOf(t, Rules{Method: Points}, s), 0, "(14/3) / (30/3 + 10)")
}

func TestStudentsWithTheSameAverageShareARank(t *testing.T) {
	t.Parallel()
	r := Rules{}
	averages := make([]Average, 4)
	for i, s := range []*Sum{
		sumOf(of(1*points, 3*points), of(1*points, 3*points), of(1*points, 3*points)),
		sumOf(of(1*points, 6*points), of(1*points, 6*points), of(4*points, 6*points)),
		sumOf(of(3333, 10000)),
		sumOf(of(9*points, 10*points)),
	} {
		averages[i], _ = s.Average(&r)
	}
	order, ranks := Rank(averages, func(i, j int) int { return cmp.Compare(j, i) })
	require.Equal(t, []int{3, 1, 0, 2}, order)
	require.Equal(t, []int64{2, 2, 4, 1}, ranks)
}

func TestDistributionsDescribeSingleScores(t *testing.T) {
	t.Parallel()
	var t1, t2 Tally
	for _, score := range []domain.Decimal{2, 4, 4, 4, 5} {
		t1.Add(of(score*points, 10*points))
	}
	for _, score := range []domain.Decimal{5, 7, 9} {
		t2.Add(of(2*score*points, 20*points))
	}
	t1.AddTally(&t2)
	d := t1.Describe(50)
	require.Equal(t, Description{
		Passed: 4, Bins: [Bins]int64{2: 1, 4: 3, 5: 2, 7: 1, 9: 1}, StdDev: 20,
		Quartiles: [3]float64{40, 45, 55},
	}, d)
}

// Thirds and sixths that add up to a whole are truncated below it, where only the exact fractions tell
// who shares a rank, what is a pass, and to which side a half is rounded.
func TestExactFractionsDecideBetweenNeighbours(t *testing.T) {
	t.Parallel()
	r := Rules{}
	truncated, ok := sumOf(of(2, 3), of(2, 6), of(1, 2)).Average(&r)
	require.True(t, ok)
	half, _ := sumOf(of(1, 2)).Average(&r)
	require.Equal(t, half.Key()-1, truncated.Key(), "else this test shows nothing")
	require.Zero(t, truncated.Compare(&half))
	require.False(t, truncated.Below(50))

	less, _ := sumOf(of(2, 3), of(2, 6), of(4_999_999_999, 9_999_999_999)).Average(&r)
	more, _ := sumOf(of(2, 3), of(2, 6), of(5_000_000_000, 9_999_999_999)).Average(&r)
	require.Negative(t, less.Compare(&half))
	require.Positive(t, more.Compare(&half))
	require.True(t, less.Below(50))

	require.InDelta(t, 73.23, percentOf(t, r, sumOf(of(1, 3), of(4, 6), of(1, 1), of(929, 1000))), 0, "73.225")
	for n := range domain.Decimal(100) {
		var two Tally
		two.Add(of(n, 10000))
		two.Add(of(n+1, 10000))
		require.InDelta(t, 0.01, two.Describe(50).StdDev, 0, "0.005, half away from zero")
	}
}

// oracle calculates an average in the plainest way.
func oracle(r *Rules, kinds []Kind, values []Value) *big.Rat {
	sum := func(category *string, of func(i int) *big.Rat) *big.Rat {
		s := new(big.Rat)
		for i := range values {
			if category == nil || kinds[i].Category == *category {
				s.Add(s, of(i))
			}
		}
		return s
	}
	rat := func(n, d int64) *big.Rat { return big.NewRat(n, d) }
	value := func(i int) *big.Rat { return rat(values[i].Score, values[i].Max) }
	one := func(int) *big.Rat { return rat(1, 1) }
	weight := func(i int) *big.Rat { return rat(max(int64(kinds[i].Weight), 1), 1) }
	switch r.Method {
	case Points:
		s := sum(nil, func(i int) *big.Rat { return rat(values[i].Score, values[i].Tries) })
		return s.Quo(s, sum(nil, func(i int) *big.Rat { return rat(values[i].Max, values[i].Tries) }))
	case Weights:
		n, d := new(big.Rat), new(big.Rat)
		for c, w := range r.Categories {
			of := sum(&c, weight)
			if of.Sign() == 0 {
				continue
			}
			a := sum(&c, func(i int) *big.Rat { v := value(i); return v.Mul(v, weight(i)) })
			n.Add(n, a.Quo(a, of).Mul(a, rat(w, 1)))
			d.Add(d, rat(w, 1))
		}
		return n.Quo(n, d)
	}
	s := sum(nil, value)
	return s.Quo(s, sum(nil, one))
}

// Tied if and only if exactly equal, and shown as the exact average rounded once: against fractions
// without a bound, for all methods, with scores that are close to each other and to halves.
func TestAveragesAreThoseOfExactFractions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{
			Method:     rapid.SampledFrom([]Method{Equal, Points, Weights}).Draw(t, "method"),
			Categories: map[string]int64{"a": 1, "b": 2},
		}
		maximum := rapid.SampledFrom([]int64{1, 3, 6, 7, 10, 12, 36, 100, 333_333, 9_999_999_999})
		students := rapid.IntRange(2, 6).Draw(t, "students")
		averages, exact := make([]Average, students), make([]*big.Rat, students)
		for i := range students {
			s := &Sum{}
			var kinds []Kind
			var values []Value
			for range rapid.IntRange(1, 5).Draw(t, "scores") {
				m := maximum.Draw(t, "max")
				v := Value{rapid.Int64Range(0, min(2*m, 12)).Draw(t, "score"), m, rapid.Int64Range(1, 3).Draw(t, "tries")}
				if rapid.Bool().Draw(t, "near") {
					v.Score = rapid.Int64Range(max(0, m/2-1), min(2*m, m/2+1)).Draw(t, "near half")
				}
				k := Kind{Category: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "category")}
				if rapid.Bool().Draw(t, "weighted") {
					k.Weight = domain.Decimal(rapid.Int64Range(1, 3).Draw(t, "weight"))
				} else {
					k.Weight = 1
				}
				s.Add(k, v)
				kinds, values = append(kinds, k), append(values, v)
			}
			averages[i], _ = s.Average(&r)
			exact[i] = oracle(&r, kinds, values)
			require.Equal(t, rounding(exact[i]), fmt.Sprintf("%.2f", averages[i].Percent()), "%v", values)
			require.Equal(t, exact[i].Cmp(big.NewRat(1, 2)) < 0, averages[i].Below(50))
		}
		for i := range averages {
			for j := range averages {
				require.Equal(t, exact[i].Cmp(exact[j]), averages[i].Compare(&averages[j]))
			}
		}
		order, ranks := Rank(averages, func(i, j int) int { return cmp.Compare(i, j) })
		for i := range averages {
			better := int64(0)
			for j := range averages {
				if exact[j].Cmp(exact[i]) > 0 {
					better++
				}
			}
			require.Equal(t, better+1, ranks[i])
			require.LessOrEqual(t, ranks[order[0]], ranks[i])
		}
	})
}

// rounding prints a fraction in percent: big.Rat rounds halves away from zero.
func rounding(r *big.Rat) string {
	return new(big.Rat).Mul(r, big.NewRat(100, 1)).FloatString(2)
}

// The standard deviation and the quartiles are those of exact fractions too.
func TestDistributionsAreThoseOfExactFractions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var tally Tally
		var values []Value
		for range rapid.IntRange(1, 12).Draw(t, "scores") {
			m := rapid.SampledFrom([]int64{1, 3, 8, 10, 100, 9_999_999_999}).Draw(t, "max")
			v := Value{rapid.Int64Range(0, m).Draw(t, "score"), m, 1}
			tally.Add(v)
			values = append(values, v)
		}
		n := int64(len(values))
		mean, variance := oracle(&Rules{}, make([]Kind, n), values), new(big.Rat)
		for _, v := range values {
			d := big.NewRat(v.Score, v.Max)
			d.Sub(d, mean)
			variance.Add(variance, d.Mul(d, d))
		}
		variance.Quo(variance, big.NewRat(n, 1))
		var all []counted
		for v, times := range tally.counts {
			all = append(all, counted{v, v.key(), times})
		}
		want := exactStdDev(all, n)
		// r is right when (r − ½)² ≤ variance·10⁸ < (r + ½)²
		scaled := variance.Mul(variance, big.NewRat(hundredths*hundredths, 1))
		square := func(twice int64) *big.Rat { return big.NewRat(twice*twice, 4) }
		require.Less(t, scaled.Cmp(square(2*want+1)), 0)
		if want > 0 {
			require.GreaterOrEqual(t, scaled.Cmp(square(2*want-1)), 0)
		}
		require.Equal(t, want, stdDev(all, n))
	})
}
