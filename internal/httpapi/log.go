package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/auth"
)

var needRead = auth.Need{Roles: []string{"admin"}, Scope: scopeRead}

const (
	ndjsonType = "application/x-ndjson"
	// pageBytes is how many bytes of events fill a page, whatever its limit.
	pageBytes = 8 << 20
	// maxIndexed is how often one request reads a piece of its school's part of the log.
	maxIndexed = 8
	// maxScanned is how many records of all schools one request reads where the index does not
	// reach.
	maxScanned = 8 * eventlog.BlockSize
	// readLimit is how long that may take before the connection is given up.
	readLimit = 10 * time.Second
	// MaxWait is the longest wait that a request may name.
	MaxWait = 30 * time.Second
)

// readLog responds with the events of a school after a position.
func (a *API) readLog(w http.ResponseWriter, r *http.Request) error {
	page, err := a.parsePage(r)
	if err != nil {
		return err
	}
	if err := a.deps.Refused(page.partition); err != nil {
		return err
	}
	// not supported by recorders of tests
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(page.wait + readLimit +
		bodyLimit))
	if err := a.scan(r.Context(), page); err != nil {
		return a.orBefore(r.Context(), page, err)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	next := a.deps.LogID.At(page.readOn()).String()
	h.Set(headerPosition, next)
	if strings.Contains(r.Header.Get("Accept"), ndjsonType) {
		h.Set("Content-Type", ndjsonType)
		_, _ = w.Write(page.found.Bytes()) // fails only when the client is gone
		return nil
	}
	h.Set("Content-Type", "application/json")
	lines := bytes.TrimSuffix(page.found.Bytes(), []byte("\n"))
	body := append([]byte(`{"next":"`+next+`","unreadable":`+strconv.Itoa(page.unreadable)+
		`,"events":[`), bytes.ReplaceAll(lines, []byte("\n"), []byte(","))...)
	_, _ = w.Write(append(body, "]}"...))
	return nil
}

// orBefore says where the log begins when that is why it could not be read: whoever reads on after an
// old position has to learn that events are missing in between.
func (a *API) orBefore(ctx context.Context, p *page, err error) error {
	if !errors.Is(err, eventlog.ErrOffsetOutOfRange) {
		return err
	}
	start, _, bounds := a.deps.Log.Bounds(ctx, p.partition)
	if bounds != nil || p.next >= start {
		return err
	}
	return problem(http.StatusGone, "the log now begins at %s: events between this and your "+
		"position were removed from it. To read those that are left, leave out after, and take "+
		"the state from the read models", a.deps.LogID.At(domain.Position{Partition: p.partition, Offset: start}))
}

// page is the requested part of a school's log, and what has been found of it.
type page struct {
	school    string
	partition int32
	log       domain.LogID
	limit     int
	wait      time.Duration

	next       int64 // the next offset to read
	last       int64 // the offset of the school's last event that was read, at first that of after
	indexed    int   // pieces read by the index
	beyond     bool  // the index does not reach to next
	scanned    int64 // records of all schools that were read beyond it
	blind      bool  // without an index, or not to the end
	count      int
	unreadable int          // events that only a newer program can read
	found      bytes.Buffer // one event per line
}

// readOn is where the client reads on. It is a position of the school's own, as how far others have
// moved the log meanwhile is no concern of its; finding that place again costs one look into the
// index. Where that does not help, it is how far the log was read.
func (p *page) readOn() domain.Position {
	at := domain.Position{Partition: p.partition, Offset: p.last}
	if p.blind {
		at.Offset = max(p.last, p.next-1)
	}
	return at
}

// parsePage reads the parameters and reports all their faults at once.
func (a *API) parsePage(r *http.Request) (*page, error) {
	p := &page{school: r.PathValue("school"), limit: 100, log: a.deps.LogID}
	p.partition = eventlog.PartitionFor(p.school, a.deps.Partitions)
	failed := problem(http.StatusBadRequest, "some parameters are invalid")
	wrong := func(parameter, reason string) {
		failed.Errors = append(failed.Errors,
			ProblemError{Parameter: "query." + parameter, Reason: reason})
	}
	q := r.URL.Query()
	if v := q.Get("after"); v != "" {
		at, err := a.deps.LogID.Parse(v)
		switch {
		case errors.Is(err, domain.ErrOtherLog):
			return nil, ofOtherLog("after", err)
		case err != nil:
			wrong("after", "must be partition:offset, for example 7:1042-k3f9a")
		case at.Partition != p.partition:
			wrong("after", "the school's events are in partition "+strconv.Itoa(int(p.partition)))
		}
		p.next = at.Offset + 1
	}
	whole := func(parameter string, from, to int) int {
		n, err := strconv.Atoi(q.Get(parameter))
		if err != nil || n < from || n > to {
			wrong(parameter,
				"must be a whole number from "+strconv.Itoa(from)+" to "+strconv.Itoa(to))
		}
		return n
	}
	if q.Has("limit") {
		p.limit = whole("limit", 1, 1000)
	}
	if q.Has("wait") {
		p.wait = time.Duration(whole("wait", 0, int(MaxWait.Seconds()))) * time.Second
	}
	if len(failed.Errors) > 0 {
		return nil, failed
	}
	if !q.Has("after") {
		start, _, err := a.deps.Log.Bounds(r.Context(), p.partition)
		if err != nil {
			return nil, err
		}
		p.next = start
	}
	p.last = p.next - 1
	return p, nil
}

// scan reads the school's events until the page is full, or the end of the log is reached and the
// wait is over, or enough was read for one request. Then the page may have fewer events than there
// are, and even none; next says where to read on.
func (a *API) scan(ctx context.Context, p *page) error {
	deadline := time.Now().Add(p.wait)
	for atEnd := false; ; {
		wait := time.Millisecond
		if atEnd {
			// A second at most per fetch, so that a client that has gone is noticed.
			wait = max(wait, min(time.Until(deadline), time.Second))
		}
		s, err := a.read(ctx, p, wait, atEnd)
		if err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, eventlog.ErrOffsetOutOfRange) ||
				errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, errManyReads) {
				return err
			}
			return unavailable(err, time.Second, "the log cannot be read at the moment")
		}
		for i := range s.Entries {
			if p.full() {
				return nil
			}
			p.take(&s.Entries[i])
		}
		if p.full() {
			return nil
		}
		p.next = s.Next
		atEnd = p.beyond && p.next >= s.HighWatermark
		switch {
		case atEnd && (p.count > 0 || !time.Now().Before(deadline)), p.indexed >= maxIndexed:
			return nil
		case !atEnd && p.scanned >= maxScanned:
			p.blind = true
			return nil
		}
	}
}

// read reads the next piece of the log: that of the school, as far as the index reaches, and then
// what is beyond, which is short, as the index reaches to where the tables stand. A read that waits
// at the end of the log costs nothing, and does not count as one of its school; the others take
// turns.
func (a *API) read(
	ctx context.Context, p *page, wait time.Duration, atEnd bool,
) (eventlog.Stretch, error) {
	if !atEnd {
		if err := a.scans.enter(ctx, p.school); err != nil {
			return eventlog.Stretch{}, err
		}
		defer a.scans.leave(p.school)
	}
	if !p.beyond && a.deps.Index != nil {
		s, err := a.deps.Reader.ReadIndexed(ctx, a.deps.Index, p.school, p.partition, p.next,
			p.limit-p.count)
		switch {
		case errors.Is(err, eventlog.ErrNoIndex):
			// The log can be read without it, only with more work.
			a.deps.Logger.WarnContext(ctx, "reading the log without its index", "error", err)
			p.blind = true
		case err != nil:
			return s, err
		case len(s.Entries) > 0:
			p.indexed++
			return s, nil
		default:
			p.next = s.Next
		}
	}
	p.blind = p.blind || a.deps.Index == nil
	p.beyond = true
	s, err := a.deps.Reader.ReadSchool(ctx, p.school, p.partition, p.next, wait)
	if err == nil && !atEnd {
		p.scanned += s.Next - p.next
	}
	return s, err
}

func (p *page) full() bool { return p.count == p.limit || p.found.Len() >= pageBytes }

// take adds an event to the page. What nobody can use is left out, here as everywhere: it is a dead
// letter.
func (p *page) take(entry *eventlog.Entry) {
	e, err := entry.Event()
	if eventlog.IsUnusable(err) {
		return
	}
	p.last = entry.Offset()
	if err == nil {
		var line []byte
		if line, err = cloudevents.AppendLogged(p.found.AvailableBuffer(), e, p.log); err == nil {
			p.found.Write(append(line, '\n'))
			p.count++
		}
	}
	if err != nil {
		p.unreadable++
	}
}
