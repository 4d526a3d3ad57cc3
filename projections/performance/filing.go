package performance

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// The fold counts a score for the class that the event names, which is what happened. Averages and
// ranks of classes are by home class, also where a score is of a section: filed_scores in the
// database says for which home class each of those counts when the query runs, so that a move
// that is recorded late moves them too. Scores of sections are then read one by one, which is why
// nothing reads them where no section has any.

// groupID names a group of scores: a subject in a class in a term.
type groupID struct {
	year, term domain.Label
	class      string
	subject    string
}

func (g *group) id() groupID { return groupID{g.Year, g.Term, g.ClassID, g.Subject} }

func (g groupID) compare(o groupID) int {
	return cmp.Or(cmp.Compare(g.year, o.year), cmp.Compare(g.term, o.term),
		cmp.Compare(g.class, o.class), cmp.Compare(g.subject, o.subject))
}

// movedSQL sums up the scores of sections that count for home classes, by tenths of the maximum.
const movedSQL read.SQL = `-- performance.moved
SELECT m.*, EXISTS (SELECT FROM results_published p
	WHERE p.school = $1 AND p.class_id = m.home AND p.year = m.year AND p.term = m.term)
FROM (
	SELECT year, term, subject, class_id, home, least(points * 10 / 10000, 9) AS bucket,
		count(*), sum(points)::bigint, sum(points * points)::bigint
	FROM filed_scores($1) f WHERE home IS NOT NULL /*where*/
	GROUP BY year, term, subject, class_id, home, bucket
) m`

// moved are scores of a section that count for a home class and share a bucket.
type moved struct {
	from      groupID
	home      string
	bucket    int
	sums      groupRow // without buckets
	published bool     // the results of the home class
}

// fileGroups moves the scores of sections, in the groups by the classes that events name, to the
// groups of home classes. To those of one home class it adds what counts for it; those of a section
// stay as they are.
func fileGroups(
	ctx context.Context, tx pgx.Tx, school string, in *input, groups []group,
) ([]group, error) {
	sections, err := students.Sections(ctx, tx, school)
	if err != nil || len(sections) == 0 || slices.Contains(sections, in.Class) {
		return groups, err
	}
	conditions, args := in.filter("", school)
	if in.Class != "" {
		args = append(args, in.Class)
		conditions = append(conditions, fmt.Sprintf(
			"home = $%[1]d AND student_id IN (SELECT student_id FROM once_in_home($1, $%[1]d))",
			len(args)))
	} else if !slices.ContainsFunc(groups, func(g group) bool {
		return slices.Contains(sections, g.ClassID)
	}) {
		return groups, nil
	}
	found, err := read.All(ctx, tx, movedSQL.With(conditions...), func(m *moved) []any {
		return []any{
			&m.from.year, &m.from.term, &m.from.subject, &m.from.class, &m.home, &m.bucket,
			&m.sums.Scores, &m.sums.Points, &m.sums.Squares, &m.published,
		}
	}, args...)
	if err != nil {
		return nil, err
	}
	all := map[groupID]*group{}
	for i := range groups {
		all[groups[i].id()] = &groups[i]
	}
	for i := range found {
		found[i].apply(all, in.Class == "")
	}
	groups = make([]group, 0, len(all))
	for _, g := range all {
		if g.sums.Scores > 0 { // else all scores of the section have moved
			groups = append(groups, *g)
		}
	}
	slices.SortFunc(groups, func(a, b group) int { return a.id().compare(b.id()) })
	return groups, nil
}

// apply adds the scores to the group of the home class, and takes them out of that of the section
// if that is one of the groups.
func (m *moved) apply(all map[groupID]*group, fromSection bool) {
	to := m.from
	to.class = m.home
	if all[to] == nil {
		all[to] = &group{Group: Group{
			Year: to.year, Term: to.term, ClassID: to.class, Subject: to.subject,
			Published: m.published,
		}}
	}
	m.sums.Buckets[m.bucket] = m.sums.Scores
	all[to].sums.add(&m.sums, +1)
	if fromSection {
		all[m.from].sums.add(&m.sums, -1)
	}
}

// add adds other sums n times.
func (g *groupRow) add(o *groupRow, n int64) {
	g.Scores += n * o.Scores
	g.Points += n * o.Points
	g.Squares += n * o.Squares
	for i := range g.Buckets {
		g.Buckets[i] += n * o.Buckets[i]
	}
}
