package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/projections"
)

// ParkedEntry is a parked subject as an operator sees it.
type ParkedEntry struct {
	projections.ParkedSubject
	Partition int32
	Log       domain.LogID // that the partition is of
	Events    int64        // that are parked
}

// First is the position of the oldest event that is still parked.
func (p *ParkedEntry) First() domain.LogPosition {
	return p.Log.At(domain.Position{Partition: p.Partition, Offset: p.FirstOffset})
}

// ListParked returns the parked subjects of a school, or of all schools when it is empty, the
// longest parked first.
func (s *ProjectionStore) ListParked(ctx context.Context, school string) ([]ParkedEntry, error) {
	all, err := collect(ctx, s, func(row pgx.CollectableRow) (p ParkedEntry, err error) {
		err = row.Scan(&p.Partition, &p.School, &p.Subject, &p.FirstOffset, &p.Reason,
			&p.Attempts, &p.ParkedAt, &p.RetryAt, &p.RetryRequested, &p.FoldVersion, &p.Events)
		return p, err
	}, `SELECT u.partition, u.school, u.subject, u.first_offset, u.reason, u.attempts, u.parked_at,
			u.retry_at, u.retry_requested, u.fold_version,
			(SELECT count(*) FROM parked_events e WHERE e.set_name = u.set_name
				AND e.partition = u.partition AND e.school = u.school AND e.subject = u.subject)
		FROM parked_subjects u WHERE u.set_name = $1 AND ($2 = '' OR u.school = $2)
		ORDER BY u.parked_at, u.partition, u.first_offset`, s.name, school)
	if err != nil {
		return nil, fmt.Errorf("list parked subjects: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	log, err := checkpoint.LogID(ctx, s.pool.Conns(), s.name)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Log = log
	}
	return all, nil
}

// RequestSkip makes sure that the oldest event of a parked subject, or of a school that is parked
// whole, is folded no more, and returns its position. When a position is given, it must be that
// event's. The skip itself is an event of the log: whoever calls this appends it. Until that has
// been folded the event stays parked, so the same may be requested again.
func (s *ProjectionStore) RequestSkip(
	ctx context.Context, key projections.SubjectKey, only *domain.Position,
) (domain.Position, error) {
	partition, offset := int32(-1), int64(-1)
	if only != nil {
		partition, offset = only.Partition, only.Offset
	}
	found, err := collect(ctx, s, func(row pgx.CollectableRow) (at domain.Position, err error) {
		return at, row.Scan(&at.Partition, &at.Offset)
	}, `UPDATE parked_events e SET skip_requested = true FROM parked_subjects u
		WHERE u.set_name = $1 AND u.school = $2 AND u.subject = $3
			AND e.set_name = u.set_name AND e.partition = u.partition
			AND e.log_offset = u.first_offset
			AND ($4 < 0 OR e.partition = $4 AND e.log_offset = $5)
		RETURNING e.partition, e.log_offset`, s.name, key.School, key.Subject, partition, offset)
	switch {
	case err != nil:
		return domain.Position{}, fmt.Errorf("request to skip a parked event: %w", err)
	case len(found) == 0:
		return domain.Position{}, projections.ErrNotParked
	}
	return found[0], nil
}

// RequestRetry makes the partitions' workers retry parked subjects now: of a school and a subject,
// either of which may be empty for all. It returns how many there are.
func (s *ProjectionStore) RequestRetry(ctx context.Context, school, subject string) (int64, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	done, err := conn.Exec(ctx, `UPDATE parked_subjects SET retry_requested = true
		WHERE set_name = $1 AND ($2 = '' OR school = $2) AND ($3 = ''
		OR subject = $3)`, s.name, school, subject)
	if err != nil {
		return 0, fmt.Errorf("request retry of parked subjects: %w", err)
	}
	return done.RowsAffected(), nil
}
