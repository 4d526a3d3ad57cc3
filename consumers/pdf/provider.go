package pdf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Config configures a provider. A zero value means the default in parentheses.
type Config struct {
	Store *document.Store // required
	// FontsDir has fonts for letters that the embedded ones lack, for example Chinese. (none)
	FontsDir string
	Logger   *slog.Logger          // (none)
	Metrics  prometheus.Registerer // (none)
}

// Provider renders the documents of the channel PDF and stores them. It is idempotent: the delivery
// carries the data of the moment when it was planned, so that every attempt stores the same
// document under the same hash.
type Provider struct {
	renderer      *Renderer
	store         *document.Store
	log           *slog.Logger
	renderSeconds *prometheus.HistogramVec
	documentBytes *prometheus.HistogramVec
	logos         logoCache
}

var _ consumers.Provider = (*Provider)(nil)

// NewProvider returns a provider.
func NewProvider(cfg Config) (*Provider, error) {
	if cfg.Store == nil {
		return nil, errors.New("documents: Store is required")
	}
	renderer, err := NewRenderer(cfg.FontsDir)
	if err != nil {
		return nil, err
	}
	p := &Provider{
		renderer: renderer, store: cfg.Store,
		log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		renderSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "schoolbell_documents_render_seconds",
			Help:    "Time to render and store a document, by kind.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 10),
		}, []string{"kind"}),
		documentBytes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "schoolbell_documents_bytes", Help: "Size of rendered documents, by kind.",
			Buckets: prometheus.ExponentialBuckets(4096, 2, 10),
		}, []string{"kind"}),
	}
	if cfg.Metrics != nil {
		for _, c := range []prometheus.Collector{p.renderSeconds, p.documentBytes} {
			if err := cfg.Metrics.Register(c); err != nil {
				return nil, fmt.Errorf("register document metrics: %w", err)
			}
		}
	}
	return p, nil
}

// Name implements [consumers.Provider].
func (p *Provider) Name() string { return "documents" }

// Abilities implements [consumers.Provider].
func (p *Provider) Abilities() consumers.Abilities { return consumers.Abilities{Idempotent: true} }

// Send renders the document of a delivery and stores it. Errors of the store are temporary; a
// document that cannot be rendered now never can be.
func (p *Provider) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	logo, err := p.logo(ctx, d)
	if err != nil {
		return consumers.Receipt{}, provider.Fail(consumers.Temporary, "store", "%w", err)
	}
	began := time.Now()
	file, err := p.render(d, logo)
	if missing := (*MissingLettersError)(nil); errors.As(err, &missing) {
		return consumers.Receipt{}, provider.Fail(consumers.Permanent, "letters", "%w", err)
	}
	if err != nil {
		return consumers.Receipt{}, provider.Fail(consumers.Permanent, "render", "%w", err)
	}
	hash, err := p.store.Put(ctx, file)
	switch {
	case errors.Is(err, document.ErrTooLarge):
		return consumers.Receipt{}, provider.Fail(consumers.Permanent, "size", "%w", err)
	case err != nil:
		return consumers.Receipt{}, provider.Fail(consumers.Temporary, "store", "%w", err)
	}
	p.renderSeconds.WithLabelValues(d.Template).Observe(time.Since(began).Seconds())
	p.documentBytes.WithLabelValues(d.Template).Observe(float64(len(file)))
	return consumers.Receipt{
		State: consumers.Rendered, ProviderID: hash,
		Document: &consumers.Document{
			Kind: d.Template, StudentID: headOf(d).StudentID,
			SHA256: hash, Bytes: int64(len(file)),
		},
	}, nil
}

// render turns a panic into an error: the text comes from outside, and shaping it is a large
// program.
func (p *Provider) render(d *consumers.Delivery, logo *page.Image) (file []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("render %s: panic: %v", d.Template, v)
		}
	}()
	return p.renderer.Render(d.Template, d.Params, d.Language, logo)
}

// logo returns the school's logo. A logo that is missing or cannot be drawn is left out: a family
// is better served by a report card without it than by none. Only an unavailable store is an error.
func (p *Provider) logo(ctx context.Context, d *consumers.Delivery) (*page.Image, error) {
	hash := headOf(d).Logo
	if hash == "" {
		return nil, nil
	}
	if known := p.logos.get(hash); known != nil {
		return known, nil
	}
	data, err := p.store.Get(ctx, hash)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the school's logo: %w", err)
	}
	var picture *page.Image
	if err == nil {
		picture, err = page.ReadImage(data)
	}
	if err != nil {
		p.log.WarnContext(ctx, "rendered a document without the school's logo", "school", d.School,
			"delivery", d.ID, "error", err)
		return nil, nil
	}
	p.logos.add(hash, picture)
	return picture, nil
}

// logoCache holds recently used logos by their hashes: the report cards of a class are rendered one
// after the other.
type logoCache struct {
	mu     sync.Mutex
	cached map[string]*page.Image
}

const maxLogos = 32

func (l *logoCache) get(hash string) *page.Image {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cached[hash]
}

// add stores a logo. A full cache is emptied rather than managed: schools are rendered one after
// the other, so old entries are rarely needed again.
func (l *logoCache) add(hash string, picture *page.Image) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cached == nil || len(l.cached) >= maxLogos {
		l.cached = map[string]*page.Image{}
	}
	l.cached[hash] = picture
}

// headOf returns what all kinds of documents have in common. Rendering reports parameters that
// cannot be read.
func headOf(d *consumers.Delivery) (head paper.Head) {
	_ = json.Unmarshal(d.Params, &head)
	return head
}

// Link returns a function that makes the link to the document of a delivery. It is valid for
// [document.LinkValid] from the call on, so it is made when the message is sent.
func Link(links *document.Links) func(context.Context, *consumers.Delivery) (string, error) {
	return func(_ context.Context, d *consumers.Delivery) (string, error) {
		if d.Document == nil {
			return "", fmt.Errorf("delivery %s: its document is not rendered yet", d.ID)
		}
		reader := document.Reader{School: d.School, User: d.Recipient}
		return links.URL(d.Document.SHA256, reader, time.Now().Add(document.LinkValid)), nil
	}
}
