package document

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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

// Config is what a handler is made of. A zero value means the default in parentheses.
type Config struct {
	Store   *Store                // required
	Links   *Links                // required
	Logger  *slog.Logger          // (none)
	Metrics prometheus.Registerer // (none)
	Now     func() time.Time      // (the clock)
	// NameOf says what somebody would call a document, without an ending; "" when it has no name. (The hash's beginning)
	Title func(body []byte) string
}

// Pattern is where the handler belongs.
const Pattern = "/documents/{sha256}"

type handler struct {
	Config
	catalog   *wording.Catalog
	responses *prometheus.CounterVec
}

// NewHandler serves documents under [Pattern] to holders of a link: whole or in ranges, and never to be asked for again
// as long as the link holds, as they do not change.
func NewHandler(cfg Config) (http.Handler, error) {
	if cfg.Store == nil || cfg.Links == nil {
		return nil, errors.New("documents: a store and links are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	catalog, err := wording.Open()
	if err != nil {
		return nil, err
	}
	h := &handler{cfg, catalog, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "schoolbell_documents_answers_total", Help: "Answers to those who follow links to documents, by status.",
	}, []string{"status"})}
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(h.responses); err != nil {
			return nil, fmt.Errorf("register metrics of documents: %w", err)
		}
	}
	return h, nil
}

// contentTypes are what is shown in a browser; everything else is for saving.
var contentTypes = map[string]string{"application/pdf": "pdf", "image/png": "png", "image/jpeg": "jpg"}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer") // the link is the key
	header.Set("X-Robots-Tag", "noindex")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'none'")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		h.fail(w, r, http.StatusMethodNotAllowed, "documents are only read")
		return
	}
	hash, query, now := r.PathValue("sha256"), r.URL.Query(), h.Now()
	until, err := h.Links.Check(hash, query.Get("expires"), query.Get("signature"), now)
	switch {
	case errors.Is(err, ErrExpired):
		h.fail(w, r, http.StatusGone, err.Error())
		return
	case err != nil:
		h.fail(w, r, http.StatusForbidden, err.Error())
		return
	}
	body, err := h.Store.Get(r.Context(), hash)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.fail(w, r, http.StatusNotFound, "there is no such document any more")
		return
	case err != nil:
		if r.Context().Err() == nil {
			h.Logger.ErrorContext(r.Context(), "serve document", "error", err)
		}
		header.Set("Retry-After", "5")
		h.fail(w, r, http.StatusServiceUnavailable, "the store of documents does not answer")
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
	header.Set("Cache-Control", "private, immutable, max-age="+strconv.FormatInt(int64(until.Sub(now).Seconds()), 10))
	header.Set("Etag", strconv.Quote(hash))
	counted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(counted, r, "", time.Time{}, bytes.NewReader(body))
	h.responses.WithLabelValues(strconv.Itoa(counted.status)).Inc()
}

// disposition says that a document is shown, and under which name it is saved.
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
	return fmt.Sprintf("inline; filename=%q; filename*=UTF-8''%s", plain, strings.ReplaceAll(url.QueryEscape(name+"."+ending), "+", "%20"))
}

// sanitizeFileName replaces what file systems do not take, and what makes a name look like another.
func sanitizeFileName(r rune) rune {
	if strings.ContainsRune(`/\:*?"<>|%`, r) {
		return '-'
	}
	if !unicode.IsPrint(r) {
		return -1
	}
	return r
}

// fail answers a program with a problem, and somebody who has followed a link with a page.
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
	_ = json.MarshalWrite(w, struct { // whoever has gone does not need it
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
