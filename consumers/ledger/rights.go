package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
)

// errClosed is why a delivery is cancelled that has waited until its recipient lost the right to it.
var errClosed = errors.New("its recipient may no longer receive it")

// right is that a person hears of a student; of what is about the school when there is none.
type right struct{ school, person, student string }

const rightsSQL = `
SELECT q.n FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[]) WITH ORDINALITY
	AS q (school, person, student, day, days_after, n)
WHERE NOT schoolbell.may_hear(q.school, q.person, q.student, q.day::date, q.days_after)`

// ended returns which rights there are not, or no longer, today by the clocks of the schools.
func (s *Settings) ended(ctx context.Context, rights []right, now time.Time) (map[right]bool, error) {
	var schools, people, students, days []string
	var after []int32
	for _, r := range rights {
		settings, err := s.At(ctx, r.school, now)
		if err != nil {
			return nil, err
		}
		schools, people = append(schools, r.school), append(people, r.person)
		students = append(students, r.student)
		days = append(days, domain.DateOf(now.In(settings.Location())).String())
		after = append(after, int32(settings.Access().Days()))
	}
	rows, _ := s.pool.Query(ctx, rightsSQL, schools, people, students, days, after)
	closed := map[right]bool{}
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&n}, func() error {
		closed[rights[n-1]] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look up who may receive what: %w", err)
	}
	return closed, nil
}

// freshFor is how long after it was planned a delivery starts by the facts that it was planned from.
const freshFor = time.Second

// closeToLeavers marks the deliveries that have waited, and whose recipients may no longer receive
// them.
func (l *Ledger) closeToLeavers(ctx context.Context, all []*started) error {
	if len(all) == 0 || l.cfg.Settings == nil {
		return nil
	}
	waiting := map[right][]*started{}
	for _, s := range all {
		if s.waited > freshFor {
			r := right{s.School, s.Recipient, s.Student}
			waiting[r] = append(waiting[r], s)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	closed, err := l.cfg.Settings.ended(ctx, slices.Collect(maps.Keys(waiting)), l.cfg.Now())
	for r := range closed {
		for _, s := range waiting[r] {
			s.closed = true
		}
	}
	return err
}

const documentReadersSQL = `
SELECT DISTINCT m.school, m.recipient, m.student
FROM schoolbell.ledger d JOIN schoolbell.ledger m ON m.depends_on = d.id
WHERE d.document IS NOT NULL AND d.document ->> 'SHA256' = $1`

// Reader is somebody who was sent a link to a document.
type Reader struct {
	School, User string
	// May says that the reader may still read it.
	May bool
}

// Readers returns who was sent a link to a document, by its hash; nobody for a document that the
// ledger does not have.
func (s *Settings) Readers(ctx context.Context, hash string) ([]Reader, error) {
	rows, _ := s.pool.Query(ctx, documentReadersSQL, hash)
	rights, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r right, err error) {
		err = row.Scan(&r.school, &r.person, &r.student)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("look up the readers of a document: %w", err)
	}
	if len(rights) == 0 {
		return nil, nil
	}
	closed, err := s.ended(ctx, rights, time.Now())
	if err != nil {
		return nil, err
	}
	readers := make([]Reader, len(rights))
	for i, r := range rights {
		readers[i] = Reader{r.school, r.person, !closed[r]}
	}
	return readers, nil
}
