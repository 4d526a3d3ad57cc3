package httpapi

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// request collects what is learned about a request on its way through the handlers.
type request struct {
	id          string
	school      string // of its path
	bearer      auth.Principal
	access      auth.Access
	minPosition string // as in the header
	format      format // of a query's result
	conn        *http.ResponseController
	url         *url.URL
	live        bool  // a live client's query
	cause       error // of a problem, for the access log
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	if req, ok := ctx.Value(requestKey{}).(*request); ok {
		return req
	}
	return &request{}
}

// metrics are rate, errors and duration of each route, and the events that came in.
type metrics struct {
	duration *prometheus.HistogramVec
	inflight prometheus.Gauge
	events   *prometheus.CounterVec
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "schoolbell_http_request_duration_seconds",
			Help:    "Duration of requests, by route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30},
		}, []string{"route", "status"}),
		inflight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "schoolbell_http_requests_in_flight", Help: "Requests being served.",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_ingest_events_total",
			Help: "Events sent by producers: accepted, duplicate of one of the last minute, or " +
				"in conflict with one that has the same id; refused counts requests, of which no " +
				"event was taken.",
		}, []string{"outcome"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_http_panics_total", Help: "Requests that ended in a panic.",
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.duration, m.inflight, m.events, m.panics} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// observe gives each request an id, measures and logs it, and turns a panic into a problem. The log
// has the path but no query string and no headers: these may hold secrets.
func observe(m *metrics, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		req := &request{id: requestID(r), conn: http.NewResponseController(w)}
		w.Header().Set("X-Request-Id", req.id)
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
		rec := &recorder{ResponseWriter: w}
		m.inflight.Inc()
		defer func() {
			m.inflight.Dec()
			if p := recover(); p != nil {
				// net/http's own way to cut a response off is not a fault.
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				m.panics.Inc()
				failed := problem(http.StatusInternalServerError,
					"internal error; quote the request id when you report it")
				failed.cause = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
				req.cause = failed.cause
				// After the header is sent, cutting the connection is all that is left; net/http
				// does.
				if rec.status == 0 {
					failed.write(rec, r)
				}
			}
			route := r.Pattern
			// The pattern, not the path: paths contain ids, and each would be a time series.
			if route == "" {
				route = "none"
			}
			took := time.Since(start)
			// The duration of a stream says nothing about our speed.
			if rec.Header().Get("Content-Type") == eventStreamType {
				took = rec.began.Sub(start) // the stream lasts as long as its client stays
			}
			m.duration.WithLabelValues(route, strconv.Itoa(rec.code())).Observe(took.Seconds())
			logRequest(r, log, req, rec, took)
		}()
		next.ServeHTTP(rec, r)
	})
}

func logRequest(
	r *http.Request, log *slog.Logger, req *request, rec *recorder, took time.Duration,
) {
	// Overload (503) is a warning: the server does what it should. Refusals are the caller's, and
	// successes are many.
	level := slog.LevelDebug
	switch code := rec.code(); {
	case code >= 500 && code != http.StatusServiceUnavailable:
		level = slog.LevelError
	case code >= 500:
		level = slog.LevelWarn
	case code >= 400:
		level = slog.LevelInfo
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", req.id), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", rec.code()), slog.Int64("bytes", rec.bytes), slog.Duration("took", took),
		slog.String("client", r.RemoteAddr),
	}
	if req.bearer.Subject != "" {
		attrs = append(attrs, slog.String("subject", req.bearer.Subject),
			slog.String("school", req.bearer.School))
	}
	if req.cause != nil {
		attrs = append(attrs, slog.Any("error", req.cause))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID returns the id that a proxy gave the request, or a new one when that has characters
// unfit for a log.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if id == "" || len(id) > 64 || strings.Trim(id, plain) != "" {
		return rand.Text()
	}
	return id
}

// recorder records status and size of a response.
type recorder struct {
	http.ResponseWriter
	status int
	began  time.Time // when the header was sent
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status, r.began = status, time.Now()
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status, r.began = http.StatusOK, time.Now()
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// Hijack implements [http.Hijacker], for WebSocket.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
