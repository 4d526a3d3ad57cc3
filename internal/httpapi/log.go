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
	// fetchBytes is how much one fetch reads. Few of the records may be of the school.
	fetchBytes = 1 << 20
	// pageBytes is how many bytes of events fill a page, whatever its limit.
	pageBytes = 8 << 20
	// scanLimit is how long one request scans a partition for the events of its school.
	scanLimit = 2 * time.Second
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
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(page.wait + scanLimit +
		bodyLimit))
	if err := a.scan(r.Context(), page); err != nil {
		return a.orBefore(r.Context(), page, err)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	next := a.deps.LogID.At(
		domain.Position{Partition: page.partition, Offset: page.next - 1}).String()
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
	count      int
	unreadable int          // records of the school that are not valid events
	found      bytes.Buffer // one event per line
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
			wrong("after", "must be partition:offset, for example 7:1042")
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
	return p, nil
}

// scan reads the partition until the page is full, or the end of the log is reached and the wait is
// over. Other schools share the partition, so an empty page does not mean that there is nothing
// after it; next says where to read on.
func (a *API) scan(ctx context.Context, p *page) error {
	deadline := time.Now().Add(p.wait)
	giveUp := time.Now().Add(max(p.wait, scanLimit))
	atEnd := false
	for {
		wait := time.Duration(0)
		if atEnd {
			// A second at most per fetch, so that a client that has gone is noticed.
			wait = min(time.Until(deadline), time.Second)
		}
		batch, err := a.fetch(ctx, p, max(wait, time.Millisecond), atEnd)
		if err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, eventlog.ErrOffsetOutOfRange) ||
				errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, errManyReads) {
				return err
			}
			return unavailable(err, time.Second, "the log cannot be read at the moment")
		}
		for _, rec := range batch.Records {
			if p.full() {
				return nil
			}
			if string(rec.Key) == p.school {
				p.take(rec)
			}
			p.next = rec.Position.Offset + 1
		}
		if p.full() {
			return nil
		}
		// The batch may end in records that are not ours to see, such as markers of transactions.
		p.next = max(p.next, batch.Next)
		atEnd = p.next >= batch.HighWatermark
		now := time.Now()
		if now.After(giveUp) || atEnd && (p.count > 0 || !now.Before(deadline)) {
			return nil
		}
	}
}

// fetch reads a part of the partition. A read that waits at the end of the log costs nothing, and
// does not count as one of its school; the others take turns.
func (a *API) fetch(
	ctx context.Context, p *page, wait time.Duration, atEnd bool,
) (eventlog.Batch, error) {
	if !atEnd {
		if err := a.scans.enter(ctx, p.school); err != nil {
			return eventlog.Batch{}, err
		}
		defer a.scans.leave(p.school)
	}
	return a.deps.Log.Fetch(ctx, p.partition, p.next, fetchBytes, wait)
}

func (p *page) full() bool { return p.count == p.limit || p.found.Len() >= pageBytes }

func (p *page) take(rec eventlog.Record) {
	e, err := cloudevents.Decode(rec)
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
