package document

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/consumers/plan/wording"
)

// Config configures a handler. A zero value means the default in parentheses.
type Config struct {
	Store   *Store                // required
	Links   *Links                // required
	Logger  *slog.Logger          // (none)
	Metrics prometheus.Registerer // (none)
	Now     func() time.Time      // (time.Now)
	// Title returns the title of a document, from which its file name is made; "" when it has none.
	// (the beginning of the hash)
	Title func(body []byte) string
	// Revoked yields the readers whose links end, with the moment up to which they were made. (none)
	Revoked iter.Seq2[Reader, time.Time]
	// Readers returns who was sent a link to a document, by its hash, each with whether the reader may
	// still read it. A link is refused to all others but the staff's; nobody: the document is of no
	// message. (links end with their readers' tokens alone)
	Readers func(ctx context.Context, hash string) (map[Reader]bool, error)
	// Read is called with whoever follows their link to a document, before they get it, and whether
	// they are refused it. An error keeps it from them. (none)
	Read func(of Reader, hash string, refused bool) error
}

// Pattern is the pattern under which the handler is to be registered.
const Pattern = "/documents/{sha256}"

type handler struct {
	Config
	catalog   *wording.Catalog
	responses *prometheus.CounterVec
}

// NewHandler serves documents under [Pattern] to whoever has a link: whole or in ranges, and
// cacheable until the link expires, as a document never changes.
func NewHandler(cfg Config) (http.Handler, error) {
	if cfg.Store == nil || cfg.Links == nil {
		return nil, errors.New("documents: Store and Links are required")
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	catalog, err := wording.Open()
	if err != nil {
		return nil, err
	}
	h := &handler{cfg, catalog, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "schoolbell_documents_answers_total",
		Help: "Responses to requests for documents, by status.",
	}, []string{"status"})}
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(h.responses); err != nil {
			return nil, fmt.Errorf("register document metrics: %w", err)
		}
	}
	return h, nil
}

// contentTypes are the types that a browser may show. Everything else is sent as an attachment, so
// that an uploaded script never runs in the school's origin.
var contentTypes = map[string]string{
	"application/pdf": "pdf", "image/png": "png",
	"image/jpeg": "jpg",
}

// ServeHTTP checks the link before the store is read, so that a stranger cannot find out which
// documents exist.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer") // the URL is the credential
	header.Set("X-Robots-Tag", "noindex")
	header.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'none'")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		h.fail(w, r, http.StatusMethodNotAllowed, "documents are read-only")
		return
	}
	hash, now := r.PathValue("sha256"), h.Now()
	link, err := h.Links.Check(hash, r.URL.Query(), now)
	switch {
	case errors.Is(err, ErrExpired):
		h.fail(w, r, http.StatusGone, err.Error())
		return
	case err != nil:
		h.fail(w, r, http.StatusForbidden, err.Error())
		return
	}
	reader, may, err := h.readerOf(r.Context(), hash, link)
	if err != nil {
		h.unavailable(w, r, err, "who may read it cannot be looked up at the moment")
		return
	}
	if !may {
		_ = h.report(reader, hash, true) // refused anyway
		h.fail(w, r, http.StatusForbidden, ErrRevoked.Error())
		return
	}
	body, err := h.Store.Get(r.Context(), hash)
	if err == nil {
		if full := h.report(reader, hash, false); full != nil {
			h.unavailable(w, r, full, full.Error())
			return
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.fail(w, r, http.StatusNotFound, "this document no longer exists")
		return
	case err != nil:
		h.unavailable(w, r, err, "the document store is unavailable")
		return
	}
	kind := http.DetectContentType(body)
	if ending, shown := contentTypes[kind]; shown {
		header.Set("Content-Disposition", h.disposition(hash, body, ending))
	} else {
		kind = "application/octet-stream"
		header.Set("Content-Disposition", "attachment")
	}
	header.Set("Content-Type", kind)
	header.Set("Cache-Control", "private, immutable, max-age="+
		strconv.FormatInt(int64(link.Expires.Sub(now).Seconds()), 10))
	header.Set("Etag", strconv.Quote(hash))
	counted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(counted, r, "", time.Time{}, bytes.NewReader(body))
	h.responses.WithLabelValues(strconv.Itoa(counted.status)).Inc()
}

// report reports a read, unless nobody knows whose it is.
func (h *handler) report(of Reader, hash string, refused bool) error {
	if h.Read == nil || of == (Reader{}) {
		return nil
	}
	return h.Read(of, hash, refused)
}

// revoked returns the reader of a link whose access has been revoked since it was made.
func (h *handler) revoked(link *Link) (of Reader, revoked bool) {
	if h.Revoked == nil {
		return of, false
	}
	for reader, until := range h.Revoked {
		if link.IsOf(reader) && !link.Made().After(until) {
			return reader, true
		}
	}
	return of, false
}

// readerOf returns the reader of a link, as far as a revocation or a message says who that is, and
// whether the reader may still read the document. Links of v0.1 are of no reader.
func (h *handler) readerOf(
	ctx context.Context, hash string, link *Link,
) (of Reader, may bool, err error) {
	if of, revoked := h.revoked(link); revoked {
		return of, false, nil
	}
	switch {
	case link.staff != nil:
		return *link.staff, true, nil
	case h.Readers == nil || link.reader == "":
		return of, true, nil
	}
	readers, err := h.Readers(ctx, hash)
	if err != nil || len(readers) == 0 {
		return of, err == nil, err
	}
	for reader, may := range readers {
		if link.IsOf(reader) {
			return reader, may, nil
		}
	}
	return of, false, nil
}

// unavailable responds that a server behind this one does not.
func (h *handler) unavailable(w http.ResponseWriter, r *http.Request, err error, detail string) {
	if r.Context().Err() == nil {
		h.Logger.ErrorContext(r.Context(), "serve document", "error", err)
	}
	w.Header().Set("Retry-After", "5")
	h.fail(w, r, http.StatusServiceUnavailable, detail)
}

// disposition shows the document in the browser and names the file it is saved as.
func (h *handler) disposition(hash string, body []byte, ending string) string {
	plain, name := hash[:12]+"."+ending, ""
	if h.Title != nil {
		name = strings.TrimSpace(strings.Map(sanitizeFileName, h.Title(body)))
	}
	switch {
	case name == "":
		return fmt.Sprintf("inline; filename=%q", plain)
	case strings.IndexFunc(name, func(r rune) bool { return r > '~' }) < 0:
		return fmt.Sprintf("inline; filename=%q", name+"."+ending)
	}
	return fmt.Sprintf("inline; filename=%q; filename*=UTF-8''%s", plain,
		strings.ReplaceAll(url.QueryEscape(name+"."+ending), "+", "%20"))
}

// sanitizeFileName replaces what file systems refuse, and drops what makes one name look like
// another, such as a right-to-left override.
func sanitizeFileName(r rune) rune {
	if strings.ContainsRune(`/\:*?"<>|%`, r) {
		return '-'
	}
	if !unicode.IsPrint(r) {
		return -1
	}
	return r
}

// fail responds to a program with a problem document, and to a browser with a page.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, status int, detail string) {
	h.responses.WithLabelValues(strconv.Itoa(status)).Inc()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept, Accept-Language")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.writeErrorPage(w, r.Header.Get("Accept-Language"), status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, struct { // the client may be gone
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

// statusWriter records the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
