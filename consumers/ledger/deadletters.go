package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
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

// storeDeadLetters stores events, and returns for each that was none before whether it is stored:
// beyond the limits of a day they are only counted.
func storeDeadLetters(
	ctx context.Context, tx pgx.Tx, letters []DeadLetter,
) (stored []bool, err error) {
	if len(letters) == 0 {
		return nil, nil
	}
	var fresh []DeadLetter
	var counted []deadletter.Letter
	for i := range letters {
		d := &letters[i]
		tag, err := tx.Exec(ctx, `UPDATE schoolbell.dead_letters SET reason = $3, at = now()
			WHERE partition = $1 AND log_offset = $2`,
			d.Position.Partition, d.Position.Offset, storable(d.Reason))
		if err != nil {
			return nil, fmt.Errorf("renew dead letter: %w", err)
		}
		if tag.RowsAffected() == 0 {
			fresh = append(fresh, *d)
			counted = append(counted, deadletter.Letter{School: d.School, Position: d.Position})
		}
	}
	if stored, err = deadletter.Admit(ctx, tx, counted); err != nil {
		return nil, err
	}
	for i := range fresh {
		d := &fresh[i]
		if !stored[i] {
			continue
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO schoolbell.dead_letters (partition, log_offset, school, event_id, type, reason)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (partition, log_offset) DO UPDATE SET reason = excluded.reason, at = now()`,
			d.Position.Partition, d.Position.Offset, storable(d.School), storable(d.EventID),
			storable(d.Type), storable(d.Reason)); err != nil {
			return nil, fmt.Errorf("store dead letter: %w", err)
		}
	}
	return stored, nil
}

// pruneDeadLetters removes what is older than [deadletter.Lifetime]: by then nobody wants the message.
func (l *Ledger) pruneDeadLetters(ctx context.Context) error {
	_, err := l.pool.Exec(ctx, `DELETE FROM schoolbell.dead_letters WHERE at < now() - $1::interval`,
		deadletter.Lifetime)
	if err != nil {
		return fmt.Errorf("remove old dead letters: %w", err)
	}
	return nil
}

// countDeadLetters counts those that a transaction has stored, or was over the limits with.
func (l *Ledger) countDeadLetters(stored []bool) {
	for _, ok := range stored {
		l.cfg.DeadLetters.Count(deadletter.Plan, ok)
	}
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
	var stored []bool
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		stored, err = storeDeadLetters(ctx, tx, []DeadLetter{{
			Position: at, School: school, EventID: eventID, Type: eventType, Reason: reason,
		}})
		return err
	})
	if err == nil {
		l.countDeadLetters(stored)
	}
	return err
}

// commitDeadLetters stores the events that cannot be planned, and removes those that could be
// planned when an operator retried them, or that an operator has given up.
func commitDeadLetters(
	ctx context.Context, tx pgx.Tx, plans []consumers.Planning,
) (stored []bool, err error) {
	var letters []DeadLetter
	for i := range plans {
		if e, fault := plans[i].Event, plans[i].Fault; fault != nil {
			letters = append(letters, DeadLetter{
				Position: e.Position, School: e.School, EventID: e.ID, Type: e.Type,
				Reason: fault.Error(),
			})
		}
	}
	if stored, err = storeDeadLetters(ctx, tx, letters); err != nil {
		return nil, err
	}
	for i := range plans {
		at, settled := settles(&plans[i])
		if !settled {
			continue
		}
		if _, err := tx.Exec(ctx, `DELETE FROM schoolbell.dead_letters
			WHERE partition = $1 AND log_offset = $2 AND school = $3`,
			at.Partition, at.Offset, storable(plans[i].Event.School)); err != nil {
			return nil, fmt.Errorf("settle dead letter: %w", err)
		}
	}
	return stored, nil
}

// settles returns which event is no dead letter any more, as it was planned after all or is folded
// and planned by nobody.
func settles(p *consumers.Planning) (domain.Position, bool) {
	if p.Fault != nil {
		return domain.Position{}, false
	}
	if skip, ok := p.Event.Data.(*log.EventSkipped); ok {
		at, err := domain.ParsePosition(skip.Position)
		return at, err == nil
	}
	return p.Event.Position, p.Event.Replan
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
