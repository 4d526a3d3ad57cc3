package marks

import (
	"cmp"
	"maps"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// Method is how scores make an average.
type Method string

// The methods.
const (
	Equal   Method = "equal"   // each assessment alike: the mean of the percentages
	Points  Method = "points"  // the sum of the scores over the sum of the maxima
	Weights Method = "weights" // categories by their weights; within one, assessments by theirs
)

// Attempts says which of several attempts at an assessment counts.
type Attempts string

// The rules for attempts.
const (
	Latest Attempts = "latest" // the one with the highest number
	Best   Attempts = "best"
	Mean   Attempts = "mean" // the points of all, over their maxima
)

// Switch is on unless it is off.
type Switch string

// The positions of a switch.
const (
	On  Switch = "on"
	Off Switch = "off"
)

// Rules are what a school has decided about its marks. The zero value is for a school that has decided
// nothing; [Rules.WithDefaults] says what holds then.
type Rules struct {
	Method      Method           `json:"method,omitzero" enum:"equal,points,weights" doc:"How scores make an average: each assessment alike (equal, the default), the sum of the scores over the sum of the maxima (points), or categories by their weights and within one assessments by theirs (weights)"`
	Categories  map[string]int64 `json:"categories,omitempty" doc:"The weights of categories for the method weights. A score whose category has none is in no average"`
	Attempts    Attempts         `json:"attempts,omitzero" enum:"latest,best,mean" doc:"Which of several attempts at an assessment counts: latest is the default"`
	Pass        int64            `json:"pass,omitzero" doc:"From how many percent on a score is a pass; 0 means 50" example:"50"`
	ExtraCredit bool             `json:"extra_credit,omitzero" doc:"Extra credit counts beyond the maximum; else such a score counts as the maximum"`
	Ranks       Switch           `json:"ranks,omitzero" enum:"on,off" doc:"Whether students are ranked, on screens and report cards: on by default"`
	Least       int64            `json:"least,omitzero" doc:"Averages and ranks of groups with fewer students are not shown to guardians and students; 0 means 5" example:"5"`
}

// What holds for a school that has decided nothing.
const (
	DefaultPass  = 50
	DefaultLeast = 5
)

// Limits of the rules.
const (
	MaxLeast          = 100
	MaxCategories     = 50
	MaxCategoryWeight = 10_000
)

// WithDefaults returns the rules with all that the school has left open.
func (r Rules) WithDefaults() Rules {
	r.Method = cmp.Or(r.Method, Equal)
	r.Attempts = cmp.Or(r.Attempts, Latest)
	r.Pass = cmp.Or(r.Pass, DefaultPass)
	r.Ranks = cmp.Or(r.Ranks, On)
	r.Least = cmp.Or(r.Least, DefaultLeast)
	return r
}

// Validate reports everything that is wrong with the rules, below a pointer.
func (r *Rules) Validate(f *domain.Faults, at string) {
	oneOf := func(name, v string, allowed ...string) {
		if v != "" {
			f.OneOf(at+name, v, allowed...)
		}
	}
	oneOf("/method", string(r.Method), string(Equal), string(Points), string(Weights))
	oneOf("/attempts", string(r.Attempts), string(Latest), string(Best), string(Mean))
	oneOf("/ranks", string(r.Ranks), string(On), string(Off))
	f.Between(at+"/pass", r.Pass, 0, 100)
	f.Between(at+"/least", r.Least, 0, MaxLeast)
	if len(r.Categories) > MaxCategories {
		f.Add(at+"/categories", "has more than %d entries", MaxCategories)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Categories)) {
		f.ID(at+"/categories", name)
		f.Between(at+"/categories", r.Categories[name], 1, MaxCategoryWeight)
	}
	f.Check(at+"/categories", r.Method != Weights || len(r.Categories) > 0,
		"must have the weights of the categories, as the method is weights")
}

// Percent is the scale of scores that are a percentage of their maximum, as are those without a scale.
const Percent = "percent"

// Kind is what a score is among others, or what its assessment is.
type Kind struct {
	Scale    string // as the fact names it, or "" where it names none; see [Kind.Or]
	Category string
	Weight   domain.Decimal // 0 is 1
}

// Or completes a score's kind by that of its assessment. The scale is then "" for percent: a score that
// names it is one, whatever its assessment is.
func (k Kind) Or(of Kind) Kind {
	scale := cmp.Or(k.Scale, of.Scale)
	if scale == Percent {
		scale = ""
	}
	return Kind{scale, cmp.Or(k.Category, of.Category), cmp.Or(k.Weight, of.Weight)}
}

// Counts reports that scores of a kind are in averages, ranks and pass rates.
func (r *Rules) Counts(k Kind) bool {
	return k.Scale == "" && (r.Method != Weights || r.Categories[k.Category] > 0)
}
