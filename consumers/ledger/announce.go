package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/eventlog"
)

// A delivery has no job before the log says that it was planned: Commit writes which deliveries are
// new, and announce appends that to the log and inserts the jobs in the transaction in which it
// forgets it. So a ledger that is lost or set back later finds in the log what may have been sent.

// storePlans writes which deliveries are to be announced, those of each school together.
func storePlans(
	ctx context.Context, tx pgx.Tx, planned []*consumers.Delivery, through map[int32]int64,
) error {
	type plans struct {
		partition int32
		ids       []string
	}
	var schools []string
	bySchool := map[string]*plans{}
	for _, d := range planned {
		p := bySchool[d.School]
		if p == nil {
			p = &plans{partition: d.Position.Partition}
			bySchool[d.School], schools = p, append(schools, d.School)
		}
		p.ids = append(p.ids, d.ID)
	}
	batch := &pgx.Batch{}
	for _, school := range schools {
		p, at := bySchool[school], ""
		if next := through[p.partition]; next > 0 {
			at = domain.Position{Partition: p.partition, Offset: next - 1}.String()
		}
		batch.Queue(`INSERT INTO schoolbell.ledger_plans (school, partition, through, ids)
			VALUES ($1, $2, $3, $4)`, school, p.partition, at, p.ids)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store what is to be announced: %w", err)
	}
	return nil
}

// announceBatchSize is how many schools' plans are announced in one transaction.
const announceBatchSize = 200

// announceAll announces what was planned, until nothing is left. Processes share the work.
func (l *Ledger) announceAll(ctx context.Context) error {
	for {
		n, err := l.announceBatch(ctx)
		if err != nil || n < announceBatchSize {
			return err
		}
	}
}

// announcement is what is to be announced of one school.
type announcement struct {
	seq       int64
	school    string
	through   string
	ids       []string
	plannedAt time.Time
}

func (l *Ledger) announceBatch(ctx context.Context) (n int, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		open, err := l.openPartitions(ctx, tx)
		if err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `SELECT seq, school, through, ids, planned_at
			FROM schoolbell.ledger_plans WHERE partition = ANY ($1)
			ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED`, open, announceBatchSize)
		plans, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a announcement, err error) {
			return a, row.Scan(&a.seq, &a.school, &a.through, &a.ids, &a.plannedAt)
		})
		if err != nil {
			return fmt.Errorf("read what is to be announced: %w", err)
		}
		if n = len(plans); n == 0 {
			return nil
		}
		bySchool := map[string][]eventlog.Record{}
		var seqs []int64
		var ids []string
		for i := range plans {
			a := &plans[i]
			records, err := a.records(l.cfg.Encode)
			if err != nil {
				return err
			}
			bySchool[a.school] = append(bySchool[a.school], records...)
			seqs, ids = append(seqs, a.seq), append(ids, a.ids...)
		}
		if err := l.appendAll(ctx, tx, bySchool); err != nil {
			return err
		}
		if err := l.insertAnnounced(ctx, tx, ids); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM schoolbell.ledger_plans WHERE seq = ANY ($1)`, seqs)
		return err
	})
	return n, err
}

// records makes the events. Their ids follow from what they say, so one that is appended twice
// counts once.
func (a *announcement) records(
	encode func(*domain.Envelope) (eventlog.Record, error),
) (records []eventlog.Record, err error) {
	for ids := range slices.Chunk(a.ids, delivery.MaxPlanned) {
		h := sha256.New()
		for _, part := range append([]string{a.through, a.plannedAt.UTC().String()}, ids...) {
			h.Write([]byte(part + "\n"))
		}
		id := "planned-" + hex.EncodeToString(h.Sum(nil))[:32]
		data := &delivery.Planned{Through: a.through, Deliveries: ids}
		rec, err := encode(&domain.Envelope{
			ID: id, Source: Source, School: a.school, Time: a.plannedAt.UTC(), CorrelationID: id,
			Actor: "schoolbell", Author: domain.Author{Subject: domain.AuthorSchoolbell},
			Type: delivery.TypePlanned, Subject: data.Subject(), Data: data,
		})
		if err != nil {
			return nil, fmt.Errorf("encode what was planned for school %q: %w", a.school, err)
		}
		records = append(records, rec)
	}
	return records, nil
}

// insertAnnounced inserts the jobs of deliveries that the log tells of now. Those of deliveries that
// wait for another one follow when that is done (release).
func (l *Ledger) insertAnnounced(ctx context.Context, tx pgx.Tx, ids []string) error {
	rows, _ := tx.Query(ctx, `
		SELECT d.id, d.channel, d.school, d.priority, coalesce(d.not_before, 'epoch')
		FROM schoolbell.ledger d
		WHERE d.id = ANY ($1) AND d.state IN ('planned', 'sending', 'unknown')
			AND CASE WHEN d.depends_on = '' THEN true ELSE (SELECT p.state FROM schoolbell.ledger p
				WHERE p.id = d.depends_on) IN ('sent', 'delivered', 'rendered', 'failed', 'cancelled')
			END`, ids)
	jobs, err := pgx.CollectRows(rows, scanNewJob)
	if err != nil {
		return fmt.Errorf("read what was announced: %w", err)
	}
	order := make(map[string]int, len(ids))
	for i, id := range ids {
		order[id] = i
	}
	slices.SortFunc(jobs, func(a, b *newJob) int { return order[a.ID] - order[b.ID] })
	return l.insertJobs(ctx, tx, jobs)
}
