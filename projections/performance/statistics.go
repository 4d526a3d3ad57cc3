package performance

import (
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/marks"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Statistics describe scores, which are percentages of the maximum score.
type Statistics struct {
	Count        int64      `json:"count" doc:"How many scores there are that count"`
	Mean         *float64   `json:"mean" doc:"Their average by the school's method, in percent; null without scores"`
	StdDev       *float64   `json:"std_dev" doc:"Standard deviation of these scores as a population, each alike, in percentage points"`
	Median       *float64   `json:"median" doc:"Of the scores, each alike, in percent"`
	Quartiles    []float64  `json:"quartiles" doc:"The first and the third, between two scores in proportion; empty without scores"`
	PassRate     *float64   `json:"pass_rate" doc:"Part of the scores that are a pass"`
	Distribution [10]int64  `json:"distribution" doc:"Numbers of scores below 10 %, from there below 20 %, and so on; all from 90 % on are in the last"`
	NotCounted   NotCounted `json:"not_counted,omitzero" doc:"What is in none of these numbers"`
}

// NotCounted counts what students have in assessments, and what is in no average, rank or pass rate.
type NotCounted struct {
	OtherScale int64 `json:"other_scale,omitzero" doc:"Scores that are no percentage"`
	NoWeight   int64 `json:"no_weight,omitzero" doc:"Scores whose category has no weight"`
	Exempt     int64 `json:"exempt,omitzero" doc:"The student need not be assessed"`
	Missing    int64 `json:"missing,omitzero" doc:"Nothing was handed in"`
	Absent     int64 `json:"absent,omitzero" doc:"The student was not there"`
}

func (n *NotCounted) add(o *NotCounted) {
	n.OtherScale += o.OtherScale
	n.NoWeight += o.NoWeight
	n.Exempt += o.Exempt
	n.Missing += o.Missing
	n.Absent += o.Absent
}

// collected is what is needed to describe any number of scores.
type collected struct {
	sum   marks.Sum
	tally marks.Tally
	none  NotCounted
}

// add adds a mark and returns its value, and whether it counts.
func (c *collected) add(r *marks.Rules, m *mark, attempts []marks.Attempt) (v marks.Value, ok bool) {
	v, ok = r.ValueOf(attempts)
	switch {
	case !ok:
		switch attempts[len(attempts)-1].Status {
		case assessment.Exempt:
			c.none.Exempt++
		case assessment.Missing:
			c.none.Missing++
		default:
			c.none.Absent++
		}
		return v, false
	case m.kind.Scale != "":
		c.none.OtherScale++
		return v, false
	case !r.Counts(m.kind):
		c.none.NoWeight++
		return v, false
	}
	c.sum.Add(m.kind, v)
	c.tally.Add(v)
	return v, true
}

// merge adds what another one has collected.
func (c *collected) merge(o *collected) {
	c.sum.AddSum(&o.sum)
	c.tally.AddTally(&o.tally)
	c.none.add(&o.none)
}

// statistics describes what was collected, with a pass from so many percent on.
func (c *collected) statistics(r *marks.Rules, pass int64) Statistics {
	s := Statistics{Count: c.sum.Count(), Quartiles: []float64{}, NotCounted: c.none}
	average, ok := c.sum.Average(r)
	if !ok {
		return s
	}
	d := c.tally.Describe(pass)
	mean := average.Percent()
	s.Mean, s.StdDev, s.Median = &mean, &d.StdDev, &d.Quartiles[1]
	s.Quartiles = []float64{d.Quartiles[0], d.Quartiles[2]}
	s.PassRate, s.Distribution = read.Ratio(d.Passed, s.Count), d.Bins
	return s
}

// AppliedRules are the school's rules as they were applied.
type AppliedRules struct {
	Method      marks.Method     `json:"method" enum:"equal,points,weights" doc:"How scores make an average: each assessment alike (equal), the sum of the scores over the sum of the maxima (points), or categories by their weights (weights)"`
	Categories  map[string]int64 `json:"categories,omitempty" doc:"The weights of categories"`
	Attempts    marks.Attempts   `json:"attempts" enum:"latest,best,mean" doc:"Which of several attempts counts"`
	Pass        int64            `json:"pass" doc:"From how many percent on a score is a pass"`
	ExtraCredit bool             `json:"extra_credit" doc:"Extra credit counts beyond the maximum"`
	Ranks       marks.Switch     `json:"ranks" enum:"on,off"`
}

func applied(r *marks.Rules) AppliedRules {
	a := AppliedRules{
		Method: r.Method, Attempts: r.Attempts, Pass: r.Pass, ExtraCredit: r.ExtraCredit, Ranks: r.Ranks,
	}
	if r.Method == marks.Weights {
		a.Categories = r.Categories
	}
	return a
}
