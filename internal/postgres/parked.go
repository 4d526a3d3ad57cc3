package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/eventlog"
)

// ParkedSubject is a parked subject as operators see it.
type ParkedSubject struct {
	Set         string    `json:"set"`
	Partition   int32     `json:"partition"`
	School      string    `json:"school"`
	Subject     string    `json:"subject"`
	FirstOffset int64     `json:"first_offset"`
	Events      int64     `json:"events"`
	Reason      string    `json:"reason"`
	Attempts    int       `json:"attempts"`
	ParkedAt    time.Time `json:"parked_at"`
	RetryAt     time.Time `json:"retry_at"`
	Requested   bool      `json:"retry_requested"`
}

// ParkedEvent is one event of a parked subject, as it is in the log.
type ParkedEvent struct {
	Type   string
	Record eventlog.Record
}

// ParkedFilter picks subjects; an empty field picks all.
type ParkedFilter struct {
	School  string
	Subject string
}

// ParkedSubjects lists the parked subjects of all sets, the oldest first. The pool has the role [Projector].
func ParkedSubjects(ctx context.Context, p *Pool, filter ParkedFilter) ([]ParkedSubject, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, `
		SELECT s.set_name, s.partition, s.school, s.subject, s.first_offset,
			(SELECT count(*) FROM schoolbell.parked_events e WHERE e.set_name = s.set_name AND e.partition = s.partition
				AND e.school = s.school AND e.subject = s.subject),
			s.reason, s.attempts, s.parked_at, s.retry_at, s.retry_requested
		FROM schoolbell.parked_subjects s
		WHERE ($1 = '' OR s.school = $1) AND ($2 = '' OR s.subject = $2)
		ORDER BY s.parked_at, s.partition, s.first_offset`, filter.School, filter.Subject)
	if err != nil {
		return nil, fmt.Errorf("list parked subjects: %w", err)
	}
	subjects, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ParkedSubject])
	if err != nil {
		return nil, fmt.Errorf("list parked subjects: %w", err)
	}
	return subjects, nil
}

// ParkedEvents returns the oldest events of a parked subject, at most limit.
func ParkedEvents(ctx context.Context, p *Pool, s ParkedSubject, limit int) ([]ParkedEvent, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, `
		SELECT type, log_offset, record_time, record_key, headers, value FROM schoolbell.parked_events
		WHERE set_name = $1 AND partition = $2 AND school = $3 AND subject = $4 ORDER BY log_offset LIMIT $5`,
		s.Set, s.Partition, s.School, s.Subject, limit)
	if err != nil {
		return nil, fmt.Errorf("read parked events: %w", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ParkedEvent, error) {
		e := ParkedEvent{Record: eventlog.Record{Position: domain.Position{Partition: s.Partition}}}
		var headers [][]byte
		err := row.Scan(&e.Type, &e.Record.Position.Offset, &e.Record.Time, &e.Record.Key, &headers, &e.Record.Value)
		e.Record.Time, e.Record.Headers = e.Record.Time.UTC(), decodeHeaders(headers)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read parked events: %w", err)
	}
	return events, nil
}

// RetryParked asks the owners of the partitions to try the picked subjects now, and returns how many there are. They do
// within about a second.
func RetryParked(ctx context.Context, p *Pool, filter ParkedFilter) (int64, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	tag, err := conn.Exec(ctx, `UPDATE schoolbell.parked_subjects SET retry_requested = true
		WHERE ($1 = '' OR school = $1) AND ($2 = '' OR subject = $2)`, filter.School, filter.Subject)
	if err != nil {
		return 0, fmt.Errorf("request retry: %w", err)
	}
	return tag.RowsAffected(), nil
}

// ParkedCount is how many subjects of the transaction's school are parked: its answers lack their latest events.
func ParkedCount(ctx context.Context, tx Querier, school string) (int64, error) {
	var n int64
	if err := tx.QueryRow(ctx, `SELECT schoolbell.parked_count($1)`, school).Scan(&n); err != nil {
		return 0, fmt.Errorf("count parked subjects: %w", err)
	}
	return n, nil
}
