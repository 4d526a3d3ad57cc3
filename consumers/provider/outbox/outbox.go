// Package outbox stores deliveries for inspection while a school is being set up and in
// development: they are sent to no one. It stands in for any channel.
//
// [Provider] renders a message as the channel would and stores it; [Latest] and [Count] show what
// is there. The first change: how a channel's message looks is in write.
package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/segment"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Provider stores deliveries.
type Provider struct {
	pool   *pgxpool.Pool
	writer provider.Writer
}

// New returns a provider on a pool in the role schoolbell_jobs.
func New(pool *pgxpool.Pool, writer provider.Writer) *Provider { return &Provider{pool, writer} }

// Name implements [consumers.Provider].
func (p *Provider) Name() string { return "outbox" }

// Abilities implements [consumers.Provider].
func (p *Provider) Abilities() consumers.Abilities { return consumers.Abilities{Idempotent: true} }

// Count returns the number of messages that an SMS would be charged as, so that a budget can limit
// the outbox like a real service.
func (p *Provider) Count(ctx context.Context, d *consumers.Delivery) (int, error) {
	_, _, segments, err := p.write(ctx, d)
	return segments, err
}

// Send implements [consumers.Provider].
func (p *Provider) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	return provider.SendOne(ctx, p, d)
}

// SendBatch implements [consumers.BatchProvider].
func (p *Provider) SendBatch(ctx context.Context,
	batch []*consumers.Delivery,
) []consumers.SendResult {
	results := make([]consumers.SendResult, len(batch))
	var c columns
	for i, d := range batch {
		title, body, segments, err := p.write(ctx, d)
		if err != nil {
			results[i].Err = err
			continue
		}
		c.id, c.school, c.channel = append(c.id, d.ID), append(c.school, d.School),
			append(c.channel, string(d.Channel))
		c.recipient, c.address, c.sender = append(c.recipient, d.Recipient),
			append(c.address, d.Address), append(c.sender, d.Sender)
		c.language, c.title, c.body = append(c.language, d.Language), append(c.title, title),
			append(c.body, body)
		c.segments = append(c.segments, int32(segments)) //nolint:gosec // there are a few
		results[i].Receipt = consumers.Receipt{
			State: consumers.Sent, ProviderID: d.ID,
			Segments: segments,
		}
	}
	if len(c.id) == 0 {
		return results
	}
	_, err := p.pool.Exec(ctx, `
		INSERT INTO schoolbell.outbox (delivery_id, school, channel, recipient, address, sender, language, title, body, segments)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::int[])
		ON CONFLICT DO NOTHING`,
		c.id, c.school, c.channel, c.recipient, c.address, c.sender, c.language, c.title, c.body,
		c.segments)
	if err != nil {
		provider.NotStored(results,
			fmt.Errorf("put %d messages into the outbox: %w", len(c.id), err))
	}
	return results
}

// columns holds messages by the columns of the table.
type columns struct {
	id, school, channel, recipient, address, sender, language, title, body []string
	segments                                                               []int32
}

// write returns what the channel would show.
func (p *Provider) write(ctx context.Context,
	d *consumers.Delivery,
) (title, body string, segments int, err error) {
	m, err := p.writer.Write(ctx, d)
	switch {
	case err != nil:
		return "", "", 0, err
	case d.Channel == consumers.SMS:
		text := segment.Plain(m.Text)
		return "", text, segment.Of(text).Segments, nil
	case d.Channel == consumers.Email:
		return m.Title, m.Body, 0, nil
	}
	return m.Title, m.Text, 0, nil
}

// Message is a stored message.
type Message struct {
	DeliveryID string            `json:"delivery_id"`
	Channel    consumers.Channel `json:"channel"`
	Recipient  string            `json:"recipient"`
	Address    string            `json:"address,omitzero"`
	Sender     string            `json:"sender,omitzero"`
	Language   string            `json:"language"`
	Title      string            `json:"title,omitzero"`
	Body       string            `json:"body"`
	Segments   int               `json:"segments,omitzero"`
	At         time.Time         `json:"at"`
}

// Latest returns a school's messages, the newest first; those of one channel when it is named. The
// transaction must see the school's rows.
func Latest(ctx context.Context, tx pgx.Tx, school string, channel consumers.Channel,
	limit int,
) ([]Message, error) {
	rows, err := tx.Query(ctx, `
		SELECT delivery_id, channel, recipient, address, sender, language, title, body, segments, at FROM schoolbell.outbox
		WHERE school = $1 AND ($2 = '' OR channel = $2) ORDER BY at DESC, delivery_id DESC LIMIT $3`, school, channel, limit)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Message])
}

// Count returns the number of a school's messages, by channel. The transaction must see the
// school's rows.
func Count(ctx context.Context, tx pgx.Tx, school string) (map[consumers.Channel]int, error) {
	rows, err := tx.Query(ctx,
		`SELECT channel, count(*) FROM schoolbell.outbox WHERE school = $1 GROUP BY channel`, school)
	if err != nil {
		return nil, fmt.Errorf("count outbox: %w", err)
	}
	counts := map[consumers.Channel]int{}
	var channel consumers.Channel
	var n int
	_, err = pgx.ForEachRow(rows, []any{&channel, &n}, func() error {
		counts[channel] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count outbox: %w", err)
	}
	return counts, nil
}
