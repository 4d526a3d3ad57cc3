package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/domain"
)

// deadLetterRow is an event that cannot be planned.
type deadLetterRow struct {
	partition                     int32
	offset                        int64
	school, eventID, kind, reason string
}

// execer is a pool or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func upsertDeadLetter(ctx context.Context, q execer, a deadLetterRow) error {
	_, err := q.Exec(ctx, `
		INSERT INTO schoolbell.ledger_aside (partition, log_offset, school, event_id, type, reason) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (partition, log_offset) DO UPDATE SET reason = excluded.reason, at = now()`,
		a.partition, a.offset, storable(a.school), storable(a.eventID), storable(a.kind), storable(a.reason))
	if err != nil {
		return fmt.Errorf("set event aside: %w", err)
	}
	return nil
}

// storable makes a text that the database takes.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), 2000)], "\uFFFD"), "\x00", "\uFFFD")
}

// AddDeadLetter notes a record that cannot be read, so that nobody has to look for it. The log keeps it.
func (l *Ledger) AddDeadLetter(ctx context.Context, at domain.Position, school, eventID, eventType, reason string) error {
	return upsertDeadLetter(ctx, l.pool, deadLetterRow{at.Partition, at.Offset, school, eventID, eventType, reason})
}

// DeadLetters returns the events that could not be planned, the oldest first, of one school or of all.
func (l *Ledger) DeadLetters(ctx context.Context, school string) ([]DeadLetter, error) {
	rows, _ := l.pool.Query(ctx, `SELECT partition, log_offset, school, event_id, type, reason, at FROM schoolbell.ledger_aside
		WHERE $1 IN ('', school) ORDER BY at, partition, log_offset`, school)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e DeadLetter, err error) {
		return e, row.Scan(&e.Position.Partition, &e.Position.Offset, &e.School, &e.EventID, &e.Type, &e.Reason, &e.At)
	})
	if err != nil {
		return nil, fmt.Errorf("list events set aside: %w", err)
	}
	return list, nil
}

// DeadLetter is an event that could not be planned. It is planned again by whoever hands it to an engine as wanted again.
type DeadLetter struct {
	Position domain.Position `json:"position"`
	School   string          `json:"school"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"type"`
	Reason   string          `json:"reason"`
	At       time.Time       `json:"at"`
}
