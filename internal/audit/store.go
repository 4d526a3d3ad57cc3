package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// writeSize is how many records one statement writes.
const writeSize = 1000

// write stores records, removes those that are stored from the map, and returns how many they are.
// The order keeps processes that write the same records from waiting for one another in a circle.
func (t *Trail) write(ctx context.Context, records map[key]entry) (written int, err error) {
	keys := make([]key, 0, len(records))
	for k := range records {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	for chunk := range slices.Chunk(keys, writeSize) {
		if err := t.upsert(ctx, chunk, records); err != nil {
			return written, fmt.Errorf("record who read what: %w", err)
		}
		for _, k := range chunk {
			delete(records, k)
		}
		written += len(chunk)
	}
	return written, nil
}

func compare(a, b key) int {
	return cmp.Or(cmp.Compare(a.School, b.School), cmp.Compare(a.hour, b.hour),
		cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Subject, b.Subject),
		cmp.Compare(a.TokenID, b.TokenID), cmp.Compare(a.Roles, b.Roles),
		cmp.Compare(a.Channel, b.Channel), cmp.Compare(truth(a.Refused), truth(b.Refused)))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (t *Trail) upsert(ctx context.Context, keys []key, records map[key]entry) error {
	n := len(keys)
	texts := [6][]string{}
	hours, first, last := make([]time.Time, n), make([]time.Time, n), make([]time.Time, n)
	refused, counts := make([]bool, n), make([]int64, n)
	for i, k := range keys {
		e := records[k]
		for j, v := range [...]string{k.School, k.Thing, k.Subject, k.TokenID, k.Roles, k.Channel} {
			texts[j] = append(texts[j], v)
		}
		hours[i] = time.Unix(k.hour*3600, 0)
		refused[i], first[i], last[i], counts[i] = k.Refused, e.first, e.last, e.count
	}
	_, err := t.Pool.Exec(ctx, `
		INSERT INTO schoolbell.audit AS a (school, hour, thing, subject, token_id, roles, channel,
			refused, first_at, last_at, count)
		SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[],
			$6::text[], $7::text[], $8::boolean[], $9::timestamptz[], $10::timestamptz[],
			$11::bigint[])
		ON CONFLICT (school, hour, thing, subject, token_id, roles, channel, refused) DO UPDATE SET
			first_at = least(a.first_at, excluded.first_at),
			last_at = greatest(a.last_at, excluded.last_at), count = a.count + excluded.count`,
		texts[0], hours, texts[1], texts[2], texts[3], texts[4], texts[5], refused, first, last,
		counts)
	return err
}

// pruneSize is how many records one statement deletes, so that writing does not wait for long.
const pruneSize = 10_000

// prune deletes records that are older than they are to be stored, and reports whether there may be
// more of them.
func (t *Trail) prune(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	done, err := t.Pool.Exec(ctx, `
		DELETE FROM schoolbell.audit WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM schoolbell.audit WHERE hour < $1 LIMIT $2))`,
		t.Now().Add(-t.Keep), pruneSize)
	return done.RowsAffected() == pruneSize, err
}
