package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
)

// DeadLetter is an event that could not be planned, because it cannot be read or a planner failed.
// The event itself stays in the log. It stops being a dead letter when it is planned again with
// [consumers.Event] marked Replan, and can be.
type DeadLetter struct {
	Position domain.Position `json:"position"`
	School   string          `json:"school"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"type"`
	Reason   string          `json:"reason"`
	At       time.Time       `json:"at"`
}

func upsertDeadLetter(ctx context.Context, tx pgx.Tx, d *DeadLetter) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO schoolbell.dead_letters (partition, log_offset, school, event_id, type, reason)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (partition, log_offset) DO UPDATE SET reason = excluded.reason, at = now()`,
		d.Position.Partition, d.Position.Offset, storable(d.School), storable(d.EventID),
		storable(d.Type), storable(d.Reason))
	if err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	return nil
}

// storable makes a text that the database accepts: it takes neither zero bytes nor broken UTF-8,
// both of which occur in what cannot be read.
func storable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), 2000)], "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// AddDeadLetter stores the position of a record that cannot be read, and why.
func (l *Ledger) AddDeadLetter(
	ctx context.Context, at domain.Position, school, eventID, eventType, reason string,
) error {
	return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		return upsertDeadLetter(ctx, tx, &DeadLetter{
			Position: at, School: school, EventID: eventID, Type: eventType, Reason: reason,
		})
	})
}

// commitDeadLetters stores the events that cannot be planned, and removes those that could be
// planned when an operator retried them.
func commitDeadLetters(ctx context.Context, tx pgx.Tx, plans []consumers.Planning) error {
	for i := range plans {
		e, fault := plans[i].Event, plans[i].Fault
		var err error
		switch {
		case fault != nil:
			err = upsertDeadLetter(ctx, tx, &DeadLetter{
				Position: e.Position, School: e.School, EventID: e.ID, Type: e.Type,
				Reason: fault.Error(),
			})
		case e.Replan:
			_, err = tx.Exec(ctx, `
				DELETE FROM schoolbell.dead_letters WHERE partition = $1 AND log_offset = $2`,
				e.Position.Partition, e.Position.Offset)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DeadLetterFilter chooses events that could not be planned.
type DeadLetterFilter struct {
	School string          // of this school; empty is all
	From   domain.Position // not before this one
	Limit  int             // at most so many
}

// DeadLetters returns events that could not be planned, in the order of their positions.
func (l *Ledger) DeadLetters(ctx context.Context, f DeadLetterFilter) ([]DeadLetter, error) {
	rows, _ := l.pool.Query(ctx, `
		SELECT partition, log_offset, school, event_id, type, reason, at
		FROM schoolbell.dead_letters
		WHERE $1 IN ('', school) AND (partition, log_offset) >= ($2, $3)
		ORDER BY partition, log_offset LIMIT $4`,
		f.School, f.From.Partition, f.From.Offset, f.Limit)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d DeadLetter, err error) {
		return d, row.Scan(&d.Position.Partition, &d.Position.Offset, &d.School, &d.EventID,
			&d.Type, &d.Reason, &d.At)
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return list, nil
}
