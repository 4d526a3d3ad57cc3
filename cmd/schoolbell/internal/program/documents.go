package program

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/pdf"
	"github.com/schoolbell/schoolbell/internal/s3"
)

// documents is the store of documents and what signs and serves the links to them.
type documents struct {
	store *document.Store
	links *document.Links
	serve http.Handler // the handler of links
}

// wireDocuments opens the store, on S3 when it is configured and in the data directory otherwise.
func (p *program) wireDocuments(settings *ledger.Settings) (*documents, error) {
	blobs, err := p.openBlobs()
	if err != nil {
		return nil, err
	}
	keys, err := p.cfg.Documents.Keys(p.cfg.Data)
	if err != nil {
		return nil, err
	}
	d := &documents{store: document.NewStore(blobs)}
	if d.links, err = document.NewLinks(cmp.Or(p.cfg.Channels.Public, p.url), keys...); err != nil {
		return nil, ConfigError{err}
	}
	d.serve, err = document.NewHandler(document.Config{
		Store: d.store, Links: d.links, Title: pdf.Title, Logger: p.log, Metrics: p.registry,
		Readers: readersOf(settings), Read: p.noteDocument,
		Revoked: func(yield func(document.Reader, time.Time) bool) {
			for r := range p.revoked.Users() {
				if !yield(document.Reader{School: r.School, User: r.User}, r.At) {
					return
				}
			}
		},
	})
	return d, err
}

// readersOf looks up who may read a document.
func readersOf(
	settings *ledger.Settings,
) func(context.Context, string) (map[document.Reader]bool, error) {
	return func(ctx context.Context, hash string) (map[document.Reader]bool, error) {
		sent, err := settings.Readers(ctx, hash)
		readers := make(map[document.Reader]bool, len(sent))
		for _, r := range sent {
			reader := document.Reader{School: r.School, User: r.User}
			readers[reader] = readers[reader] || r.May
		}
		return readers, err
	}
}

func (p *program) openBlobs() (document.Blobs, error) {
	if p.cfg.Documents.Endpoint != "" {
		return s3.Open(p.cfg.Documents.S3())
	}
	dir, err := document.OpenDir(p.cfg.Dir("documents"))
	if err != nil {
		return nil, err
	}
	p.onClose(dir.Close)
	return dir, nil
}

// provider renders documents.
func (d *documents) provider(p *program) (consumers.Provider, error) {
	renderer, err := pdf.NewProvider(pdf.Config{
		Store: d.store, FontsDir: p.cfg.FontsDir, Logger: p.log, Metrics: p.registry,
	})
	if err != nil {
		return nil, ConfigError{err}
	}
	return renderer, nil
}

// link returns the link to the document that a delivery is about.
func (d *documents) link(ctx context.Context, about *consumers.Delivery) (string, error) {
	return pdf.Link(d.links)(ctx, about)
}

// linkTo returns a user's link to the document with a hash.
func (d *documents) linkTo(school, user, hash string) string {
	return d.links.URL(hash, document.Reader{School: school, User: user},
		time.Now().Add(document.LinkValid))
}

// staffLinkTo returns a link to the document with a hash for somebody who may read all of the school.
func (d *documents) staffLinkTo(school, user, hash string) string {
	return d.links.StaffURL(hash, document.Reader{School: school, User: user}, time.Now())
}
