package httpapi

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/gzip"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/internal/auth"
)

// Scopes of tokens for programs.
const (
	scopeWrite = "events:write"
	scopeRead  = "events:read"
)

// IngestHold is how long the events of a school that exceeds its share of what is unread wait before
// they are refused: long enough that a producer who stays near its share notices only that it is slowed
// down, and short enough to hold few bodies in memory.
const IngestHold = 500 * time.Millisecond

var (
	needWrite = auth.Need{Roles: []string{"admin"}, Scope: scopeWrite}
	// needPublish also lets in for the facts of one context, with a scope such as
	// events:write:attendance.
	needPublish = auth.Need{Roles: []string{"admin"}, Scope: scopeWrite, Parts: true}
)

// Accepted confirms to a producer that its events are in the log, on disk.
type Accepted struct {
	Accepted   int                `json:"accepted" doc:"Events that are new"`
	Duplicates int                `json:"duplicates,omitzero" doc:"Events whose source and id are those of another one, of this request or of one that this process served within the last minute. They do not count, now or later"`
	Conflicts  int                `json:"conflicts,omitzero" doc:"Those of the duplicates whose content differs from the first one's: two events share an id by mistake. Only the first one counts"`
	Position   domain.LogPosition `json:"position" doc:"The position of the last event; a read with it in Schoolbell-Min-Position covers all of them"`
	Events     []AcceptedEvent    `json:"events" doc:"In the order of the request"`
}

// AcceptedEvent is where an event is in the log.
type AcceptedEvent struct {
	ID       string             `json:"id"`
	Position domain.LogPosition `json:"position"`
}

// ingest writes the events of a producer to the log, all or none, and responds when they are on
// disk.
//
// The rate is charged in two parts: one event before the body is read, so that a producer over its
// limit cannot make us parse; the rest when their number is known.
func (a *API) ingest(w http.ResponseWriter, r *http.Request) error {
	req, school := requestOf(r.Context()), r.PathValue("school")
	bucket := req.bearer.School + "/" + req.bearer.Subject
	if wait := a.rates.take(bucket, 1); wait > 0 {
		return tooMany(wait, overEventRate)
	}
	// From here on the request costs memory.
	memory, err := a.bodies.claim(school)
	if err != nil {
		return err
	}
	defer memory.release()
	body, err := a.readBody(w, r, memory)
	if err != nil {
		return err
	}
	// Milliseconds are what the log stores; a finer time would differ after a round trip.
	now := a.deps.Now().UTC().Truncate(time.Millisecond)
	events, err := cloudevents.Intake{
		School: school, Now: now,
		MaxEvents: a.config.MaxEvents,
	}.Parse(r.Header, body)
	if err != nil {
		a.metrics.events.WithLabelValues("refused").Inc()
		return err
	}
	if err := req.mayPublish(events); err != nil {
		a.noteRefusal(req, r)
		return err
	}
	if wait := a.rates.take(bucket, len(events)-1); wait > 0 {
		return tooMany(wait, overEventRate)
	}
	inheritTrace(events, r.Header)
	author := a.deps.Author(r.Context(), school, req.bearer)
	for _, e := range events {
		e.Author = author
	}
	accepted, err := a.append(r.Context(), school, events)
	if err != nil {
		return err
	}
	a.metrics.events.WithLabelValues("accepted").Add(float64(accepted.Accepted))
	a.metrics.events.WithLabelValues("duplicate").Add(
		float64(accepted.Duplicates - accepted.Conflicts))
	a.metrics.events.WithLabelValues("conflict").Add(float64(accepted.Conflicts))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(headerPosition, accepted.Position.String())
	w.WriteHeader(http.StatusAccepted)
	_ = json.MarshalWrite(w, accepted) // fails only when the client is gone
	return nil
}

const overEventRate = "this token exceeds its rate of events"

// mayPublish reports whether the scopes of the bearer reach to the contexts of all events. All of
// those that they do not reach to are named.
func (r *request) mayPublish(events []*domain.Envelope) error {
	if r.access != auth.Part {
		return nil
	}
	allowed := r.bearer.Parts(scopeWrite)
	denied := problem(http.StatusForbidden, "the token's scopes do not reach to all of the events")
	for i, e := range events {
		context, _, _, err := domain.SplitType(e.Type)
		if err != nil {
			return err
		}
		if slices.Contains(allowed, context) || len(denied.Errors) == maxDenied {
			continue
		}
		pointer := "/type"
		denied.Errors = append(denied.Errors, ProblemError{
			Index: &i, Pointer: &pointer,
			Reason: e.Type + " needs the scope " + scopeWrite + ":" + context + " or " + scopeWrite,
		})
	}
	if len(denied.Errors) > 0 {
		return denied
	}
	return nil
}

// maxDenied is how many events a refusal names.
const maxDenied = 100

// readBody reads a body to its end and decompresses it. The limit also holds for the result,
// against gzip bombs.
func (a *API) readBody(w http.ResponseWriter, r *http.Request, memory *claim) (
	body []byte, err error,
) {
	if r.ContentLength > a.config.MaxBody {
		return nil, &http.MaxBytesError{Limit: a.config.MaxBody}
	}
	arriving := &paced{Reader: r.Body, conn: http.NewResponseController(w), began: time.Now()}
	defer func() { arriving.end(err) }()
	limited := http.MaxBytesReader(w, io.NopCloser(arriving), a.config.MaxBody)
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return memory.readAll(limited, r.ContentLength, a.config.MaxBody)
	case "gzip":
		z, err := gzip.NewReader(limited)
		if err != nil {
			return nil, bodyError(err)
		}
		return memory.readAll(z, 4*r.ContentLength, a.config.MaxBody)
	default:
		w.Header().Set("Accept-Encoding", "gzip")
		return nil,
			problem(http.StatusUnsupportedMediaType, "the only supported compression is gzip")
	}
}

// append writes events to the log, but for those that it has already from this request, or from one
// that this process served within the last minute: these get the position of the first. One with
// the id of another and other content is written, so that the readers of the log report it.
func (a *API) append(
	ctx context.Context, school string, events []*domain.Envelope,
) (*Accepted, error) {
	// Not even what this process wrote a moment ago may be in the log any more.
	if err := a.deps.Refused(eventlog.PartitionFor(school, a.deps.Partitions)); err != nil {
		return nil, err
	}
	accepted := &Accepted{Events: make([]AcceptedEvent, len(events))}
	keys, all := make([]eventKey, len(events)), make([]written, len(events))
	for i, e := range events {
		keys[i] = a.recent.key(e)
	}
	known, first := a.recent.find(keys), make(map[eventKey]int, len(events))
	records := make([]eventlog.Record, 0, len(events))
	place := make([]int, len(events)) // in records; -1 for an event of an earlier request
	for i, e := range events {
		rec, err := cloudevents.Encode(e)
		if err != nil {
			return nil, err
		}
		all[i].content, place[i] = a.recent.content(e, &rec), len(records)
		earlier, repeated := known[i]
		from := -1
		if n, ok := first[keys[i]]; ok && !repeated {
			earlier, repeated, from = all[n], true, place[n]
		}
		if repeated {
			accepted.Duplicates++
			if earlier.content == all[i].content {
				all[i], place[i] = earlier, from
				continue
			}
			accepted.Conflicts++
		} else {
			first[keys[i]] = i
		}
		records = append(records, rec)
	}
	accepted.Accepted = len(events) - accepted.Duplicates
	if err := a.write(ctx, school, records, all, place); err != nil {
		return nil, err
	}
	a.recent.add(keys, all)
	for i, e := range events {
		at := a.deps.LogID.At(all[i].at)
		accepted.Events[i] = AcceptedEvent{e.ID, at}
		if i == 0 || at.Offset > accepted.Position.Offset {
			accepted.Position = at
		}
	}
	return accepted, nil
}

// write appends records to the log, and enters where the events lie that have a place in them.
func (a *API) write(
	ctx context.Context, school string, records []eventlog.Record, events []written, place []int,
) error {
	if len(records) == 0 {
		return nil
	}
	writer := ingest.Writer{
		Log: a.deps.Log, Limit: a.config.AppendLimit, Pacer: a.deps.Pacer, Hold: IngestHold,
	}
	first, err := writer.Write(ctx, school, records)
	if err != nil {
		return err
	}
	for i, n := range place {
		if n >= 0 {
			events[i].at = first
			events[i].at.Offset += int64(n)
		}
	}
	return nil
}

// inheritTrace gives events without a trace that of their request, so that it leads to the
// transaction that commits them.
func inheritTrace(events []*domain.Envelope, h http.Header) {
	parent := h.Get("Traceparent")
	if !isTraceParent(parent) {
		return
	}
	state := h.Get("Tracestate")
	// a trace without its state is better than a refused event
	if len(state) > domain.MaxTextLength {
		state = ""
	}
	for _, e := range events {
		if e.TraceParent == "" {
			e.TraceParent, e.TraceState = parent, state
		}
	}
}

// isTraceParent checks the form of W3C Trace Context, version 00: version-trace-parent-flags in
// lower-case hexadecimal.
func isTraceParent(s string) bool {
	const form = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if len(s) != len(form) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if form[i] == '-' {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s[:2] == "00"
}
