package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
)

// addressRetractions replaces what plans take back by deliveries to those who were told of it, or
// may have been. A delivery that has not been started is not among them: when it is, the facts are
// newer than the plan, and it is not sent.
func addressRetractions(ctx context.Context, tx pgx.Tx, plans []consumers.Planning) error {
	var schools, topics []string
	for i := range plans {
		for j := range plans[i].Deliveries {
			if d := &plans[i].Deliveries[j]; d.Retracts {
				schools, topics = append(schools, d.School), append(topics, d.Topic)
			}
		}
	}
	if len(topics) == 0 {
		return nil
	}
	told, err := toldOf(ctx, tx, schools, topics)
	if err != nil {
		return err
	}
	for i := range plans {
		p := &plans[i]
		var all []consumers.Delivery
		for j := range p.Deliveries {
			d := &p.Deliveries[j]
			if !d.Retracts {
				all = append(all, *d)
				continue
			}
			for _, before := range told[[2]string{d.School, d.Topic}] {
				to := d.To(&before.Delivery, p.Event.Envelope)
				if before.waits {
					to.DependsOn = before.ID
				}
				all = append(all, to)
			}
		}
		p.Deliveries = all
	}
	return nil
}

// telling is a delivery that a recipient has got, or will.
type telling struct {
	consumers.Delivery
	waits bool // for the mail that links a document which is already made
}

// toldOf returns, by school and topic, what the recipients were last told by each channel and what
// nobody is about to take back.
func toldOf(
	ctx context.Context, tx pgx.Tx, schools, topics []string,
) (map[[2]string][]telling, error) {
	if _, err := tx.Exec(ctx, forceIndexScans); err != nil {
		return nil, err
	}
	rows, _ := tx.Query(ctx, `
		SELECT `+deliveryColumns+`, l.state, l.cleared, coalesce(doc.state = 'rendered', false)
		FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u (school, topic)) u
		JOIN schoolbell.ledger l ON l.school = u.school AND l.topic = u.topic
		LEFT JOIN schoolbell.ledger doc ON doc.id = l.depends_on AND l.depends_on <> ''
		WHERE l.state IN ('planned', 'sending', 'unknown', 'sent', 'delivered')
		ORDER BY l.started_at NULLS LAST, l.log_offset, l.id`, schools, topics)
	last, pending := map[heard]telling{}, map[heard]bool{}
	var order []heard
	for rows.Next() {
		var t telling
		var state consumers.State
		var cleared, rendered bool
		row := deliveryRow{Delivery: &t.Delivery}
		if err := rows.Scan(append(row.targets(), &state, &cleared, &rendered)...); err != nil {
			return nil, fmt.Errorf("read what recipients were told: %w", err)
		}
		h := heardBy(&t.Delivery)
		switch {
		case state == consumers.Planned && t.Retracts:
			pending[h] = true
			continue
		case state == consumers.Planned && !cleared:
			if t.waits = rendered; !rendered {
				continue
			}
		case !cleared && state == consumers.Sending && !t.Retracts:
			// It is being checked, maybe with facts from before the plan.
		case !cleared:
			continue
		}
		if _, ok := last[h]; !ok {
			order = append(order, h)
		}
		last[h] = t
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read what recipients were told: %w", err)
	}
	all := map[[2]string][]telling{}
	for _, h := range order {
		if t := last[h]; !t.Retracts && !pending[h] {
			key := [2]string{h.school, h.topic}
			all[key] = append(all[key], t)
		}
	}
	return all, nil
}
