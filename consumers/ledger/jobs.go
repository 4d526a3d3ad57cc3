package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/schoolbell/schoolbell/consumers"
)

// task is the job of a delivery.
type task struct {
	ID      string            `json:"id"`
	Channel consumers.Channel `json:"channel"`
}

// Kind implements [river.JobArgs].
func (task) Kind() string { return "deliver" }

// newJob is a job to insert.
type newJob struct {
	task
	school   string
	priority consumers.Priority
	at       time.Time // zero: at once
	position time.Time // queue position, if at once
}

func (j *newJob) line() line { return line{QueueOf(j.Channel), j.priority} }

func (l *Ledger) insertJobs(ctx context.Context, tx pgx.Tx, jobs []*newJob) error {
	if len(jobs) == 0 {
		return nil
	}
	now := time.Now()
	for _, j := range jobs {
		if j.at.Before(now) { // the end of quiet hours has passed, for example
			j.at = time.Time{}
		}
	}
	if err := l.queue.assign(ctx, tx, jobs); err != nil {
		return err
	}
	// A time in the past is a queue position; see fairqueue.go.
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		at := j.at
		if at.IsZero() {
			at = j.position
		}
		params[i] = river.InsertManyParams{Args: j.task, InsertOpts: &river.InsertOpts{
			Queue: QueueOf(j.Channel), Priority: int(j.priority), ScheduledAt: at,
		}}
	}
	if _, err := l.river.InsertManyFastTx(ctx, tx, params); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}
