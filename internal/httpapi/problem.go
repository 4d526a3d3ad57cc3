package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/projections/query"
)

const problemType = "application/problem+json"

// Problem is the body of every response that is not a success (RFC 9457).
type Problem struct {
	Title     string         `json:"title" doc:"The kind of problem"`
	Status    int            `json:"status" doc:"The HTTP status"`
	Detail    string         `json:"detail,omitzero" doc:"What happened"`
	RequestID string         `json:"request_id,omitzero" doc:"Quote it when you report the problem"`
	Errors    []ProblemError `json:"errors,omitzero" doc:"Every fault of the request"`
	More      int            `json:"more_errors,omitzero" doc:"How many more faults there are than are listed"`

	retryAfter time.Duration
	header     http.Header // more headers of the response
	cause      error       // for the log
}

// ProblemError is one fault of a request: in an event, in the body, or in a parameter.
type ProblemError struct {
	Index     *int    `json:"index,omitzero" doc:"The index of the event in its batch, from 0"`
	Pointer   *string `json:"pointer,omitzero" doc:"JSON pointer into the event in structured form, or into the body"`
	Parameter string  `json:"parameter,omitzero" doc:"The parameter, for example query.from"`
	Reason    string  `json:"reason" doc:"What is wrong"`
}

func (p *Problem) Error() string {
	if p.cause != nil {
		return p.cause.Error()
	}
	return strings.TrimSpace(p.Title + ": " + p.Detail)
}

func (p *Problem) Unwrap() error { return p.cause }

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements [huma.ContentTypeFilter].
func (p *Problem) ContentType(string) string { return problemType }

func problem(status int, format string, args ...any) *Problem {
	return &Problem{
		Title: http.StatusText(status), Status: status,
		Detail: fmt.Sprintf(format, args...),
	}
}

func unavailable(cause error, retryAfter time.Duration, format string, args ...any) *Problem {
	p := problem(http.StatusServiceUnavailable, format, args...)
	p.cause, p.retryAfter = cause, retryAfter
	return p
}

func tooMany(retryAfter time.Duration, detail string) *Problem {
	p := problem(http.StatusTooManyRequests, "%s", detail)
	p.retryAfter = retryAfter
	return p
}

// problemOf translates an error into a response. An error that is not listed is a fault of ours, so
// 500.
func problemOf(err error) *Problem {
	var p *Problem
	var rejection *cloudevents.Rejection
	var tooLarge *http.MaxBytesError
	var faults *domain.InvalidError
	var settings *consumers.InvalidSettingsError
	var state *ledger.StateError
	var busy *ingest.BusyError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &rejection):
		return rejected(rejection)
	case errors.As(err, &tooLarge):
		return problem(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes",
			tooLarge.Limit)
	case errors.Is(err, cloudevents.ErrMediaType):
		return problem(http.StatusUnsupportedMediaType, "%s", cloudevents.ErrMediaType)
	case errors.Is(err, cloudevents.ErrTooMany):
		return problem(http.StatusRequestEntityTooLarge, "%s", err)
	case errors.Is(err, auth.ErrInvalidToken):
		return problem(http.StatusUnauthorized, "%s", err)
	case errors.Is(err, auth.ErrDenied), errors.Is(err, query.ErrDenied):
		return problem(http.StatusForbidden, "%s", err)
	case errors.As(err, &faults):
		return invalid(faults.Faults)
	case errors.Is(err, ledger.ErrTooManyVersions):
		return tooMany(time.Hour, ledger.ErrTooManyVersions.Error())
	case errors.As(err, &settings):
		return invalid(settings.Faults)
	case errors.As(err, &state):
		return problem(http.StatusConflict, "%s", state)
	case errors.Is(err, ledger.ErrNoWorkers):
		return problem(http.StatusConflict, "%s", ledger.ErrNoWorkers)
	case errors.Is(err, query.ErrNotFound), errors.Is(err, consumers.ErrUnknownDelivery):
		return problem(http.StatusNotFound, "not found at this school")
	// What wraps the error is for our log; from the sentinel on, the text is for the caller.
	case errors.Is(err, query.ErrInput):
		text := err.Error()
		return problem(http.StatusUnprocessableEntity, "%s",
			text[strings.Index(text, query.ErrInput.Error()):])
	case errors.Is(err, eventlog.ErrTooLarge):
		return problem(http.StatusRequestEntityTooLarge, "an event is larger than the log takes")
	case errors.As(err, &busy):
		return tooMany(busy.RetryAfter, "this school has as many events waiting to be processed as "+
			"its share allows; none of these were taken, send them again later")
	case errors.Is(err, eventlog.ErrOverloaded):
		return unavailable(err, time.Second,
			"too many events are waiting to be written; none of these were taken")
	case errors.Is(err, eventlog.ErrRefused):
		return unavailable(err, 30*time.Second, "the log was set back, cut or replaced by another "+
			"one: this part of it is neither read nor written until an operator has decided")
	case errors.Is(err, eventlog.ErrUnavailable):
		return unavailable(err, 2*time.Second,
			"the log cannot be reached; sending the same events again is safe")
	case errors.Is(err, eventlog.ErrOffsetOutOfRange):
		return problem(http.StatusGone, "the log no longer has that position, or not yet")
	// The client has gone, or the process is stopping: no fault of either.
	case errors.Is(err, context.Canceled):
		p := problem(statusClientClosed, "the client closed the request")
		p.cause = err
		return p
	case invalidText(err):
		return problem(http.StatusUnprocessableEntity,
			"a parameter contains characters that are not valid text")
	case databaseUnavailable(err):
		return unavailable(err, time.Second, "the database is unavailable at the moment")
	}
	p = problem(http.StatusInternalServerError,
		"internal error; quote the request id when you report it")
	p.cause = err
	return p
}

// ofOtherLog is the problem of a position that belongs to another log than this one. The state as it
// is now takes its place, so it is a conflict and not a bad request.
func ofOtherLog(parameter string, err error) *Problem {
	return problem(http.StatusConflict, "%s: %s", parameter, err)
}

// statusClientClosed is what nginx logs for a request whose client has gone. No client receives it.
const statusClientClosed = 499

// invalidText reports that the database received bytes that are not UTF-8, or a NUL. They are the
// request's: whatever is in the tables has been validated.
func invalidText(err error) bool {
	const characterNotInRepertoire = "22021"
	answered, ok := errors.AsType[*pgconn.PgError](err)
	return ok && answered.Code == characterNotInRepertoire
}

// databaseUnavailable reports that the database cannot be reached, or cannot serve at the moment.
// pgx does not export an error for a connection that breaks under a query, hence the texts.
func databaseUnavailable(err error) bool {
	if answered, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch answered.Code[:2] {
		case "08", "53", "57": // connection failure, insufficient resources, operator intervention
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded) ||
		pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		strings.Contains(err.Error(), "unexpected EOF") ||
		strings.Contains(err.Error(), "conn closed") ||
		strings.Contains(err.Error(), "connection reset")
}

func rejected(r *cloudevents.Rejection) *Problem {
	p := problem(http.StatusUnprocessableEntity, "no event was taken, because some are invalid")
	if r.Malformed {
		p = problem(http.StatusBadRequest, "no event was taken, because the body is malformed")
	}
	p.More = r.More
	for i := range r.Faults {
		f := &r.Faults[i]
		p.Errors = append(p.Errors,
			ProblemError{Index: &f.Index, Pointer: &f.Pointer, Reason: f.Reason})
	}
	return p
}

// write responds with the problem.
func (p *Problem) write(w http.ResponseWriter, r *http.Request) {
	p.prepare(w.Header(), requestOf(r.Context()))
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers can always be marshalled
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // fails only when the client is gone
}

// prepare sets the headers of a problem, and passes its cause to the access log.
func (p *Problem) prepare(h http.Header, req *request) {
	p.RequestID = req.id
	req.cause = p.cause
	h.Set("Cache-Control", "no-store")
	maps.Copy(h, p.header)
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="schoolbell"`)
	}
}

// asProblem translates the faults that huma finds in a request.
func asProblem(e *huma.ErrorModel) *Problem {
	p := problem(e.Status, "%s", e.Detail)
	// huma's text on a fault of ours may quote internals.
	if e.Status >= http.StatusInternalServerError {
		p.Detail = "internal error; quote the request id when you report it"
		p.cause = e
		return p
	}
	for _, d := range e.Errors {
		fault := ProblemError{Parameter: d.Location, Reason: d.Message}
		// huma writes body.rules[0].name; a JSON pointer is what everything else here uses.
		if inside, ok := strings.CutPrefix(d.Location, "body"); ok {
			pointer := strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(inside)
			fault.Parameter, fault.Pointer = "", &pointer
		}
		p.Errors = append(p.Errors, fault)
	}
	return p
}

// invalid lists the faults of a body.
func invalid(faults []domain.Fault) *Problem {
	p := problem(http.StatusUnprocessableEntity, "the body is invalid")
	for i := range faults {
		f := &faults[i]
		p.Errors = append(p.Errors, ProblemError{Pointer: &f.Pointer, Reason: f.Reason})
	}
	return p
}
