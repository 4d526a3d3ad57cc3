package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// finishSQL writes down what came of attempts. An answer counts if its start is the latest one; or if nobody knows and it
// is certain. A report may have come before the answer: then it stands, and the answer adds what the provider calls the
// delivery. Those that count are the answer.
const finishSQL = `
WITH u AS (
	SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::text[], $9::text[],
		$10::jsonb[], $11::boolean[], $12::jsonb[], $13::integer[], $14::text[])
	AS u (id, fence, state, provider, provider_id, cost, segments, error, class, document, free, event, took, worker)
), locked AS (
	SELECT l.id FROM schoolbell.ledger l WHERE l.id = ANY ($1) ORDER BY l.id FOR NO KEY UPDATE
), changed AS (
	UPDATE schoolbell.ledger l SET
		state = CASE WHEN l.state IN ('sending', 'unknown') THEN u.state ELSE l.state END,
		provider = u.provider, provider_id = coalesce(nullif(u.provider_id, ''), l.provider_id),
		cost = greatest(u.cost, l.cost), segments = greatest(u.segments, l.segments),
		error = CASE WHEN l.state IN ('sending', 'unknown') THEN u.error ELSE l.error END,
		error_class = CASE WHEN l.state IN ('sending', 'unknown') THEN u.class ELSE l.error_class END,
		document = coalesce(u.document, l.document),
		attempts = l.attempts - u.free::integer, changed_at = now()
	FROM u, locked
	WHERE l.id = u.id AND l.id = locked.id AND (
		l.fence = u.fence AND l.state IN ('sending', 'sent', 'delivered', 'failed')
		OR l.state = 'unknown' AND u.state IN ('sent', 'delivered', 'rendered', 'failed'))
	RETURNING l.id, l.school
), written AS (
	INSERT INTO schoolbell.ledger_log (delivery_id, school, fence, what, detail, took_ms, worker)
	SELECT u.id, l.school, u.fence, CASE WHEN c.id IS NULL THEN 'late ' || u.state WHEN u.free THEN 'given back' ELSE u.state END,
		u.error, u.took, u.worker
	FROM u JOIN schoolbell.ledger l ON l.id = u.id LEFT JOIN changed c ON c.id = u.id
), told AS (
	INSERT INTO schoolbell.ledger_outbox (school, event)
	SELECT c.school, u.event FROM u JOIN changed c ON c.id = u.id WHERE u.event IS NOT NULL
)
SELECT id FROM changed`

// finishBatch says for each attempt whether it counts.
func (l *Ledger) finishBatch(ctx context.Context, batch []*finish) ([]bool, error) {
	var (
		ids, states, providers, providerIDs, texts, classes, workers []string
		fences, costs                                                []int64
		segments, took                                               []int32
		documents, events                                            [][]byte
		free                                                         []bool
		byID                                                         = make(map[string]int, len(batch))
		ended                                                        []string
		news                                                         bool
	)
	for i, f := range batch {
		byID[f.ID] = i
		ids, states, providers = append(ids, f.ID), append(states, string(f.state)), append(providers, f.provider)
		providerIDs = append(providerIDs, storable(f.receipt.ProviderID))
		costs, segments = append(costs, f.receipt.Cost), append(segments, int32(f.receipt.Segments))
		text := ""
		if f.err != nil {
			text = storable(f.err.Error())
		}
		texts, classes, fences = append(texts, text), append(classes, string(f.class)), append(fences, f.fence)
		took, workers, free = append(took, int32(f.took.Milliseconds())), append(workers, f.worker), append(free, f.free)
		document, err := encodeDocument(f.receipt.Document)
		if err != nil {
			return nil, err
		}
		event, err := f.outcome(text)
		if err != nil {
			return nil, err
		}
		documents, events = append(documents, document), append(events, event)
		news = news || event != nil
		if success(f.state) || f.state == consumers.Failed || f.state == consumers.Cancelled {
			ended = append(ended, f.ID)
		}
	}
	counts := make([]bool, len(batch))
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, finishSQL, ids, fences, states, providers, providerIDs, costs, segments, texts, classes,
			documents, free, events, took, workers)
		changed, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, id := range changed {
			counts[byID[id]] = true
		}
		return l.release(ctx, tx, ended)
	})
	if err != nil {
		return nil, fmt.Errorf("finish %d attempts: %w", len(batch), err)
	}
	if news {
		l.relayNow()
	}
	return counts, nil
}

func success(s consumers.State) bool {
	return s == consumers.Sent || s == consumers.Delivered || s == consumers.Rendered
}

func encodeDocument(d *consumers.Document) ([]byte, error) {
	if d == nil {
		return nil, nil
	}
	return json.Marshal(d)
}

// release gives deliveries that have waited for others their jobs.
func (l *Ledger) release(ctx context.Context, tx pgx.Tx, ended []string) error {
	if len(ended) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		SELECT d.id, d.channel, d.school, d.priority, coalesce(d.not_before, 'epoch') FROM schoolbell.ledger d
		JOIN schoolbell.ledger p ON p.id = d.depends_on
		WHERE d.depends_on = ANY ($1) AND d.depends_on <> '' AND d.state = 'planned' AND d.fence = 0
			AND p.state IN ('sent', 'delivered', 'rendered', 'failed', 'cancelled')
		ORDER BY d.id`, ended)
	jobs, err := pgx.CollectRows(rows, scanNewJob)
	if err != nil {
		return fmt.Errorf("find what has waited: %w", err)
	}
	return l.insertNewJobs(ctx, tx, jobs)
}

func scanNewJob(row pgx.CollectableRow) (*newJob, error) {
	j := &newJob{}
	err := row.Scan(&j.ID, &j.Channel, &j.school, &j.priority, &j.at)
	if j.at.Before(time.Unix(1, 0)) {
		j.at = time.Time{}
	}
	return j, err
}
