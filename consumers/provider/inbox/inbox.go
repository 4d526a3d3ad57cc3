// Package inbox stores the messages that users read in the application, and which of them have been
// read. A stored message has arrived: that is an event in the log, in the room of its user, so that
// a user who is online sees it at once.
//
// [Provider] writes messages; [Read], [MarkRead] and [MarkAllRead] serve the API, in transactions
// that see the rows of one user. The first change: another field of a message is a column of the
// table inbox, a member of [Message] and a line in SendBatch.
package inbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Provider stores messages in inboxes.
type Provider struct {
	pool   *pgxpool.Pool
	writer provider.Writer
}

// New returns a provider on a pool in the role schoolbell_jobs. The link to a document is not
// stored in the message, where it would expire: it is made when the message is read.
func New(pool *pgxpool.Pool, writer provider.Writer) *Provider {
	writer.Link = nil
	return &Provider{pool, writer}
}

// Name implements [consumers.Provider].
func (p *Provider) Name() string { return "inbox" }

// Abilities implements [consumers.Provider].
func (p *Provider) Abilities() consumers.Abilities { return consumers.Abilities{Idempotent: true} }

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
		m, err := p.writer.Write(ctx, d)
		if err != nil {
			results[i].Err = err
			continue
		}
		hash := ""
		if d.Document != nil {
			hash = d.Document.SHA256
		}
		c.id, c.school, c.user, c.kind = append(c.id, d.ID), append(c.school, d.School),
			append(c.user, d.Recipient), append(c.kind, d.Template)
		c.title, c.body, c.language = append(c.title, m.Title), append(c.body, m.Body),
			append(c.language, m.Language.String())
		c.rightToLeft, c.document = append(c.rightToLeft, m.RightToLeft), append(c.document, hash)
		c.student = append(c.student, d.Student)
		results[i].Receipt = consumers.Receipt{State: consumers.Delivered, ProviderID: d.ID}
	}
	if len(c.id) == 0 {
		return results
	}
	_, err := p.pool.Exec(ctx, `
		INSERT INTO schoolbell.inbox (delivery_id, school, user_id, kind, title, body, language, right_left, document, student)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::text[], $10::text[])
		ON CONFLICT DO NOTHING`,
		c.id, c.school, c.user, c.kind, c.title, c.body, c.language, c.rightToLeft, c.document, c.student)
	if err != nil {
		provider.NotStored(results, fmt.Errorf("put %d messages into inboxes: %w", len(c.id), err))
	}
	return results
}

// columns holds messages by the columns of the table.
type columns struct {
	id, school, user, kind, title, body, language, document, student []string
	rightToLeft                                                      []bool
}
