package program

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/pdf"
	"github.com/schoolbell/schoolbell/internal/s3"
)

// documents is where documents are kept, and how they are found again.
type documents struct {
	store *document.Store
	links *document.Links
	serve http.Handler // what links lead to
}

// wireDocuments opens the store.
func (p *program) wireDocuments() (*documents, error) {
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
	d.serve, err = document.NewHandler(document.Config{Store: d.store, Links: d.links, Logger: p.log, Metrics: p.registry, Title: pdf.Title})
	return d, err
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

// provider makes documents.
func (d *documents) provider(p *program) (consumers.Provider, error) {
	return pdf.NewProvider(pdf.Config{Store: d.store, Logger: p.log, Metrics: p.registry})
}

// link leads to the document that a delivery tells of.
func (d *documents) link(ctx context.Context, about *consumers.Delivery) (string, error) {
	return pdf.Link(d.links)(ctx, about)
}

// linkTo leads to the document of a hash.
func (d *documents) linkTo(hash string) string {
	return d.links.URL(hash, time.Now().Add(document.LinkValid))
}
