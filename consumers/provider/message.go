package provider

import (
	"context"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
)

// Writer writes the message of a delivery.
type Writer struct {
	Catalog *wording.Catalog
	// Link returns an address at which the recipient can read the document that a delivery depends
	// on; nil when documents are not linked.
	Link func(ctx context.Context, d *consumers.Delivery) (string, error)
}

// Write returns the message of a delivery. Its errors are [consumers.SendError]: nothing has been
// sent.
func (w Writer) Write(ctx context.Context, d *consumers.Delivery) (wording.Message, error) {
	facts, err := wording.DecodeParams(d.Params)
	if err != nil {
		return wording.Message{}, Fail(consumers.Permanent, "message", "%w", err)
	}
	if d.DependsOn != "" && w.Link != nil {
		if facts.Link, err = w.Link(ctx, d); err != nil {
			return wording.Message{},
				Fail(consumers.Temporary, "document", "link document: %w", err)
		}
	}
	m, err := w.Catalog.Render(d.Template, d.Language, facts)
	if err != nil {
		return wording.Message{}, Fail(consumers.Permanent, "message", "%w", err)
	}
	return m, nil
}
