package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// Querier runs statements: a transaction, a connection or a pool.
type Querier = checkpoint.Querier

// ErrNotFound says that there is no such letter, or no longer.
var ErrNotFound = errors.New("there is no such dead letter")

// Write is [WriteAll] for callers who need only the number of letters that were stored.
func Write(ctx context.Context, tx pgx.Tx, letters ...Letter) (stored int, err error) {
	each, err := WriteAll(ctx, tx, letters)
	for _, ok := range each {
		if ok {
			stored++
		}
	}
	return stored, err
}

// WriteAll stores letters, in the transaction that passes over their records, and returns which were
// stored; the others exceed the daily limit of their school or their place. A transaction calls it once, as two calls
// could wait for each other's schools.
func WriteAll(ctx context.Context, tx pgx.Tx, letters []Letter) (stored []bool, err error) {
	if len(letters) == 0 {
		return nil, nil
	}
	// In an order of their own, so that transactions do not deadlock on the rows that count.
	order := make([]int, len(letters))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(letters[a].School, letters[b].School)
	})
	batch := &pgx.Batch{}
	for _, i := range order {
		l := &letters[i]
		faults, err := storableFaults(l.Faults)
		if err != nil {
			return nil, fmt.Errorf("encode faults of dead letter: %w", err)
		}
		record, err := l.Record.encode()
		if err != nil {
			return nil, fmt.Errorf("encode dead letter: %w", err)
		}
		// A letter that is written again is not counted again.
		batch.Queue(`
			WITH letter AS (
				SELECT (now() AT TIME ZONE 'UTC')::date AS day, CASE WHEN EXISTS (
					SELECT FROM schoolbell.deadletters WHERE kind = $1 AND topic = $2
						AND partition = $3 AND log_offset = $4) THEN 0 ELSE 1 END AS n
			), school AS (
				INSERT INTO schoolbell.deadletter_days AS d (school, day, n)
				SELECT $6, day, n FROM letter WHERE $1 <> 'log'
				ON CONFLICT (school, day) DO UPDATE SET n = d.n + excluded.n
				RETURNING n
			), place AS (
				INSERT INTO schoolbell.deadletter_places AS d (topic, partition, day, n)
				SELECT $2, $3, day, n FROM letter WHERE NOT EXISTS (SELECT FROM school WHERE n > $11)
				ON CONFLICT (topic, partition, day) DO UPDATE SET n = d.n + excluded.n
				RETURNING n
			)
			INSERT INTO schoolbell.deadletters (kind, topic, partition, log_offset, last_offset,
				school, event_id, type, faults, record)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM place WHERE n <= $12
			ON CONFLICT (kind, topic, partition, log_offset) DO UPDATE SET
				last_offset = excluded.last_offset, school = excluded.school,
				event_id = excluded.event_id, type = excluded.type, faults = excluded.faults,
				record = excluded.record, at = excluded.at`,
			l.Kind, l.Topic, l.Position.Partition, l.Position.Offset,
			max(l.Last, l.Position.Offset), storable(l.School), storable(l.EventID),
			storable(l.Type), faults, record, DailyLimit, PlaceLimit)
	}
	results := tx.SendBatch(ctx, batch)
	defer results.Close()
	stored = make([]bool, len(letters))
	for _, i := range order {
		tag, err := results.Exec()
		if err != nil {
			return nil, fmt.Errorf("store dead letter: %w", err)
		}
		stored[i] = tag.RowsAffected() > 0
	}
	return stored, nil
}

// Filter chooses letters. Its zero value is all of them.
type Filter struct {
	School string // of this school
	Kind   Kind   // of this kind
	After  int64  // with a greater id
	Limit  int    // at most so many; 0 is 1,000
}

const columns = `id, kind, topic, partition, log_offset, last_offset, school, event_id, type,
	faults, at`

// List returns letters, the oldest first, without their records, of which a page could be too large
// to hold: [Get] has the one of a letter.
func List(ctx context.Context, q Querier, f Filter) ([]Letter, error) {
	where, args := "id > $1 AND $2 IN ('', kind)", []any{f.After, f.Kind, cmp.Or(f.Limit, 1000)}
	if f.School != "" { // a condition of its own, or no plan could use the index on schools
		where, args = where+" AND school = $4", append(args, f.School)
	}
	rows, _ := q.Query(ctx, `SELECT `+columns+`, NULL::bytea FROM schoolbell.deadletters
		WHERE `+where+` ORDER BY id LIMIT $3`, args...)
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return all, nil
}

// Get returns one letter, or [ErrNotFound].
func Get(ctx context.Context, q Querier, id int64) (Letter, error) {
	rows, _ := q.Query(ctx, `SELECT `+columns+`, record FROM schoolbell.deadletters WHERE id = $1`, id)
	l, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, ErrNotFound
	}
	if err != nil {
		return l, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	return l, nil
}

func scan(row pgx.CollectableRow) (l Letter, err error) {
	var faults, record []byte
	err = row.Scan(&l.ID, &l.Kind, &l.Topic, &l.Position.Partition, &l.Position.Offset, &l.Last,
		&l.School, &l.EventID, &l.Type, &faults, &l.At, &record)
	if err != nil {
		return l, err
	}
	if l.Last == l.Position.Offset {
		l.Last = 0
	}
	if err := json.Unmarshal(faults, &l.Faults); err != nil {
		return l, err
	}
	l.Record, err = decodeRecord(record)
	return l, err
}

// Remove removes the letter of a record that could be used after all. There need not be one.
func Remove(ctx context.Context, q Querier, l *Letter) error {
	_, err := q.Exec(ctx, `DELETE FROM schoolbell.deadletters
		WHERE kind = $1 AND topic = $2 AND partition = $3 AND log_offset = $4`,
		l.Kind, l.Topic, l.Position.Partition, l.Position.Offset)
	if err != nil {
		return fmt.Errorf("remove dead letter: %w", err)
	}
	return nil
}

// Prune removes what is older than [Lifetime].
func Prune(ctx context.Context, q Querier, now time.Time) error {
	end := now.Add(-Lifetime)
	if _, err := q.Exec(ctx, `DELETE FROM schoolbell.deadletters WHERE at < $1`, end); err != nil {
		return fmt.Errorf("remove old dead letters: %w", err)
	}
	for _, table := range []string{"deadletter_days", "deadletter_places"} {
		if _, err := q.Exec(ctx, `DELETE FROM schoolbell.`+table+` WHERE day < $1`, end); err != nil {
			return fmt.Errorf("remove old counts of dead letters: %w", err)
		}
	}
	return nil
}
