package numbers

import (
	"math/big"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
)

// A scoreID names one score; later ones replace it.
type scoreID struct {
	student, assessment string
	attempt             int64
}

type score struct {
	*assessment.Scored
	event     *domain.Envelope
	corrected bool
}

// percent is how scores are read that name no scale.
const percent = "percent"

// Marks calculates the statistics of all scores of a school in the response of the query "performance",
// for a school that has decided nothing: each assessment alike, of several attempts the latest, a pass
// from a half on, and no more than the maximum.
func Marks(events []*domain.Envelope) Object {
	scores, scales := map[scoreID]score{}, map[string]string{}
	for _, e := range events {
		switch m := e.Data.(type) {
		case *assessment.Scheduled:
			scales[m.AssessmentID] = m.Scale
		case *assessment.Scored:
			take(scores, score{m, e, false})
		case *assessment.ScoreCorrected:
			take(scores, score{(*assessment.Scored)(m), e, true})
		}
	}
	var values []*big.Rat
	var sums, count, passed []Term
	students := map[string]bool{}
	shares := make([][]Term, 10)
	for _, s := range latestAttempts(scores) {
		scale := s.Scale
		if scale == "" {
			scale = scales[s.AssessmentID]
		}
		if scale != "" && scale != percent {
			continue
		}
		v := big.NewRat(int64(s.Score), int64(s.MaxScore))
		if v.Cmp(one) > 0 {
			v = one
		}
		values, students[s.StudentID] = append(values, v), true
		inPercent := new(big.Rat).Mul(v, big.NewRat(100, 1))
		sums, count = append(sums, Term{s.event, inPercent}), append(count, Term{s.event, one})
		if v.Cmp(big.NewRat(1, 2)) >= 0 {
			passed = append(passed, Term{s.event, one})
		}
		tenth := new(big.Rat).Mul(v, big.NewRat(10, 1))
		bin := min(new(big.Int).Quo(tenth.Num(), tenth.Denom()).Int64(), 9)
		shares[bin] = append(shares[bin], Term{s.event, one})
	}
	all := sum(count)
	distribution := List{}
	for _, share := range shares {
		distribution = append(distribution, sum(share))
	}
	slices.SortFunc(values, (*big.Rat).Cmp)
	result := Object{
		"count": all, "mean": quotient(sum(sums), all, 2), "pass_rate": quotient(sum(passed), all, 4),
		"distribution": distribution, "ranked": whole(int64(len(students))),
		"median": nil, "quartiles": List{},
	}
	if len(values) > 0 {
		result["median"] = quantile(values, 2)
		result["quartiles"] = List{quantile(values, 1), quantile(values, 3)}
	}
	return result
}

// take takes in a score, which a correction outranks whichever comes first.
func take(scores map[scoreID]score, s score) {
	id := scoreID{s.StudentID, s.AssessmentID, max(s.Attempt, 1)}
	if before, there := scores[id]; !there || s.corrected || !before.corrected {
		scores[id] = s
	}
}

// latestAttempts leaves of several attempts the one with the greatest number.
func latestAttempts(scores map[scoreID]score) []score {
	type of struct{ student, assessment string }
	latest := map[of]score{}
	for id, s := range scores {
		before, there := latest[of{id.student, id.assessment}]
		if !there || max(before.Attempt, 1) < id.attempt {
			latest[of{id.student, id.assessment}] = s
		}
	}
	var all []score
	for _, s := range latest {
		all = append(all, s)
	}
	return all
}

// quantile is the value at a number of quarters of sorted ones, in percent; between two of them in
// proportion.
func quantile(sorted []*big.Rat, quarters int64) *Number {
	at := quarters * int64(len(sorted)-1)
	low, rest := at/4, at%4
	v := new(big.Rat).Set(sorted[low])
	if rest > 0 {
		step := new(big.Rat).Sub(sorted[low+1], sorted[low])
		v.Add(v, step.Mul(step, big.NewRat(rest, 4)))
	}
	return &Number{Exact: v.Mul(v, big.NewRat(100, 1)), Digits: 2}
}

func whole(n int64) *Number { return &Number{Exact: new(big.Rat).SetInt64(n)} }
