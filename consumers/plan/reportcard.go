package plan

import (
	"cmp"
	"maps"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// reportCard collects the results of a term. The averages are computed here from single marks, by the
// arithmetic of the read models, so that the paper and the screen show the same number.
func (d *draft) reportCard(s consumers.Student, r *assessment.ResultsPublished) paper.ReportCard {
	rules := d.settings.Marks.WithDefaults()
	card := paper.ReportCard{
		Head:       d.head(s.ID),
		BirthDate:  s.BirthDate,
		GradeLevel: s.GradeLevel,
		Year:       r.Year,
		Term:       r.Term,
		Method:     rules.Method,
	}
	card.Class = r.ClassID
	card.From, card.To = d.period(r)
	attended := d.attended(s.ID, card.From, card.To)
	card.Attendance = attended.onPaper()

	subjects := map[string]*paper.Subject{}
	of := func(name string) *paper.Subject {
		if subjects[name] == nil {
			subjects[name] = &paper.Subject{Name: name}
		}
		return subjects[name]
	}
	var all marks.Sum
	each := map[string]*marks.Sum{}
	for _, score := range d.Scores(s.ID, r.Year, r.Term) {
		value, scored := rules.ValueOf(score.Attempts)
		subject := of(score.Subject)
		subject.Marks = append(subject.Marks, d.mark(&score, value, scored))
		if scored && rules.Counts(score.Kind) {
			all.Add(score.Kind, value)
			sumOf(each, score.Subject).Add(score.Kind, value)
		}
	}
	card.Average = percentOf(&all, &rules)
	for _, remark := range d.Remarks(s.ID, r.Year, r.Term) {
		if remark.Subject == "" {
			card.Remark = remark.Text
		} else {
			of(remark.Subject).Remark = remark.Text
		}
	}
	class := newClassMarks(d.Marks(r.ClassID, r.Year, r.Term), &rules)
	card.Rank, card.RankOf = class.rank(s.ID)
	card.ClassMean = class.mean("")
	for _, name := range slices.Sorted(maps.Keys(subjects)) {
		subject := subjects[name]
		if each[name] != nil {
			subject.Average, subject.Class = percentOf(each[name], &rules), class.mean(name)
		}
		slices.SortStableFunc(subject.Marks,
			func(a, b paper.Mark) int { return cmp.Compare(a.On, b.On) })
		card.Subjects = append(card.Subjects, *subject)
	}
	return card
}

// mark is what is printed of a score: the value that counts or, when there is none, why.
func (d *draft) mark(s *consumers.Score, v marks.Value, scored bool) paper.Mark {
	m := paper.Mark{Title: cmp.Or(s.Title, s.AssessmentID), On: s.On, Scale: s.Kind.Scale}
	if m.On.IsZero() {
		m.On = domain.DateOf(s.At.In(d.settings.Location()))
	}
	if scored {
		m.Score, m.Max = domain.Decimal(v.Score), domain.Decimal(v.Max)
	} else {
		m.Status = s.Attempts[len(s.Attempts)-1].Status
	}
	return m
}

func sumOf(sums map[string]*marks.Sum, name string) *marks.Sum {
	if sums[name] == nil {
		sums[name] = &marks.Sum{}
	}
	return sums[name]
}

// percentOf returns an average in percent; nil when there is none.
func percentOf(s *marks.Sum, rules *marks.Rules) *float64 {
	a, ok := s.Average(rules)
	if !ok {
		return nil
	}
	percent := a.Percent()
	return &percent
}

// classMarks are the marks of a class in a term, added up.
type classMarks struct {
	rules     *marks.Rules
	bySubject map[string]*marks.Sum // "" for all of them
	students  map[string]map[string]bool
	byStudent map[string]*marks.Sum
}

func newClassMarks(all []consumers.Mark, rules *marks.Rules) *classMarks {
	c := &classMarks{
		rules: rules, bySubject: map[string]*marks.Sum{}, byStudent: map[string]*marks.Sum{},
		students: map[string]map[string]bool{},
	}
	for i := range all {
		m := &all[i]
		v, ok := rules.ValueOf(m.Attempts)
		if !ok || !rules.Counts(m.Kind) {
			continue
		}
		sumOf(c.byStudent, m.StudentID).Add(m.Kind, v)
		for _, subject := range []string{m.Subject, ""} {
			sumOf(c.bySubject, subject).Add(m.Kind, v)
			if c.students[subject] == nil {
				c.students[subject] = map[string]bool{}
			}
			c.students[subject][m.StudentID] = true
		}
	}
	return c
}

// mean returns the average of the class in a subject, or in all of them; nil of fewer students than
// the school's least, whose own marks it would tell to the others.
func (c *classMarks) mean(subject string) *float64 {
	if c.bySubject[subject] == nil || int64(len(c.students[subject])) < c.rules.Least {
		return nil
	}
	return percentOf(c.bySubject[subject], c.rules)
}

// rank returns the rank of a student's average, and among how many it is; zeros where there is none, or
// the school ranks nobody, or not so few.
func (c *classMarks) rank(studentID string) (rank, of int) {
	own := c.byStudent[studentID]
	if own == nil || c.rules.Ranks == marks.Off || int64(len(c.byStudent)) < c.rules.Least {
		return 0, 0
	}
	mine, _ := own.Average(c.rules)
	rank = 1
	for _, sum := range c.byStudent {
		if other, _ := sum.Average(c.rules); other.Compare(&mine) > 0 {
			rank++
		}
	}
	return rank, len(c.byStudent)
}
