package ledger

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"github.com/schoolbell/schoolbell/consumers"
)

// River fetches the jobs of a queue and priority by scheduled_at. For a job that is due, any time
// in the past will do; so it serves as the job's position in a line: the jobs of each school are
// one tick apart, from the position on that is being served now. A school with 50,000 jobs and one
// with three then take turns until the three are done.
const (
	tick = time.Microsecond
	// lineStart is how far in the past a line begins. It has room for 3,600,000,000 jobs of one
	// school that wait at the same time.
	lineStart = time.Hour
	// positionsEnd separates positions in a line from times: jobs for later, and retries, have a
	// time.
	positionsEnd = lineStart / 2
)

// line is one queue at one priority.
type line struct {
	queue    string
	priority consumers.Priority
}

func (l line) String() string { return l.queue + ":" + strconv.Itoa(int(l.priority)) }

// fairQueue tracks the position of each line that is being served.
type fairQueue struct {
	mu      sync.Mutex
	serving map[string]time.Time
}

func newFairQueue() *fairQueue { return &fairQueue{serving: map[string]time.Time{}} }

// served records that a job of a line has been fetched.
func (q *fairQueue) served(job *rivertype.JobRow) {
	if job.Attempt > 1 || time.Since(job.ScheduledAt) < positionsEnd {
		return
	}
	l := line{job.Queue, consumers.Priority(job.Priority)}.String()
	q.mu.Lock()
	defer q.mu.Unlock()
	if job.ScheduledAt.After(q.serving[l]) {
		q.serving[l] = job.ScheduledAt
	}
}

// load finds the position that is being served, if this process has not served the line yet.
func (q *fairQueue) load(ctx context.Context, tx pgx.Tx, l line) (time.Time, error) {
	q.mu.Lock()
	at, ok := q.serving[l.String()]
	q.mu.Unlock()
	if ok {
		return at, nil
	}
	err := tx.QueryRow(ctx, `SELECT coalesce(
		(SELECT scheduled_at FROM schoolbell_river.river_job
			WHERE state = 'available' AND queue = $1 AND priority = $2
			ORDER BY scheduled_at LIMIT 1),
		(SELECT max(last) FROM schoolbell.ledger_turns WHERE queue = $3),
		clock_timestamp() - $4::interval)`, l.queue, l.priority, l.String(), lineStart).Scan(&at)
	if err != nil {
		return at, fmt.Errorf("read the line %s: %w", l, err)
	}
	if start := time.Now().Add(-lineStart); start.Before(at) {
		at = start
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serving[l.String()] = at
	return at, nil
}

// assign gives each job that is due its position. The jobs are in the order in which they were
// planned.
func (q *fairQueue) assign(ctx context.Context, tx pgx.Tx, jobs []*newJob) error {
	type key struct {
		line   line
		school string
	}
	count := map[key]int{} // the jobs of each line and school
	for _, j := range jobs {
		if j.at.IsZero() {
			count[key{j.line(), j.school}]++
		}
	}
	if len(count) == 0 {
		return nil
	}
	var lines, schools []string
	var serving []time.Time
	var numbers []int64
	keys := make([]key, 0, len(count))
	for k, n := range count {
		at, err := q.load(ctx, tx, k.line)
		if err != nil {
			return err
		}
		keys = append(keys, k)
		lines, schools = append(lines, k.line.String()), append(schools, k.school)
		serving, numbers = append(serving, at), append(numbers, int64(n))
	}
	// Rows are locked in the order of their keys, as other processes may plan for the same schools.
	rows, _ := tx.Query(ctx, `
		INSERT INTO schoolbell.ledger_turns AS t (queue, school, last, taken)
		SELECT u.queue, u.school, u.serving + u.n * $5::interval, u.n
		FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
			AS u (queue, school, serving, n)
		ORDER BY u.queue COLLATE "C", u.school COLLATE "C"
		ON CONFLICT (queue, school) DO UPDATE SET taken = excluded.taken,
			last = greatest(t.last, excluded.last - excluded.taken * $5::interval)
				+ excluded.taken * $5::interval
		RETURNING queue, school, last`, lines, schools, serving, numbers, tick)
	last := map[[2]string]time.Time{}
	var l, school string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&l, &school, &at}, func() error {
		last[[2]string{l, school}] = at
		return nil
	}); err != nil {
		return fmt.Errorf("take positions in the lines: %w", err)
	}
	// The database returns the last position of each block that was taken.
	next := map[key]time.Time{}
	for _, k := range keys {
		next[k] = last[[2]string{k.line.String(), k.school}].Add(-time.Duration(count[k]-1) * tick)
	}
	for _, j := range jobs {
		if j.at.IsZero() {
			k := key{j.line(), j.school}
			j.position = next[k]
			next[k] = next[k].Add(tick)
		}
	}
	return nil
}

// makeAvailable is a hook of River's inserts: a job with a position in a line is available at once.
func makeAvailable(_ context.Context, p *rivertype.JobInsertParams) error {
	if p.State == rivertype.JobStateScheduled && time.Since(*p.ScheduledAt) > positionsEnd {
		p.State = rivertype.JobStateAvailable
	}
	return nil
}
