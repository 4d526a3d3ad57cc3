package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/projections/cache"
	"github.com/schoolbell/schoolbell/projections/query"
)

// result is a query's result as it is cached and sent.
type result struct {
	tag string // a digest of the body
	// how many subjects of the school are parked, so that their latest events are missing
	parked uint32
	// the offset from which on all of its events are missing, as the school is parked; else -1
	parkedFrom int64
	body       []byte
}

const (
	tagLength    = 22
	resultPrefix = tagLength + 4 + 8
)

var errShortResult = errors.New("cached result is too short")

var resultCodec = cache.Codec[result]{
	Append: func(b []byte, a result) []byte {
		b = append(b, a.tag...)
		b = binary.BigEndian.AppendUint32(b, a.parked)
		b = binary.BigEndian.AppendUint64(b, uint64(a.parkedFrom))
		return append(b, a.body...)
	},
	Parse: func(b []byte) (result, error) {
		if len(b) < resultPrefix {
			return result{}, errShortResult
		}
		return result{
			tag: string(b[:tagLength]), parked: binary.BigEndian.Uint32(b[tagLength:]),
			parkedFrom: int64(binary.BigEndian.Uint64(b[tagLength+4:])), body: b[resultPrefix:],
		}, nil
	},
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// operation describes a query in OpenAPI, and says what its callers need.
func (a *API) operation(q query.Info) (huma.Operation, auth.Need) {
	return huma.Operation{
		OperationID: q.Name, Method: http.MethodGet, Path: schoolPath + q.Path, Summary: q.Summary,
		Description: q.Description, Tags: []string{tagOf(q.Path)},
		Parameters: []*huma.Param{schoolParam(), {
			Name: headerMinPosition, In: "header", Schema: positionSchema("").Schema(nil),
			Description: "The response must cover this position of the log. The request waits " +
				"for it; after a time limit it fails with 503.",
		}, {
			Name: "If-None-Match", In: "header", Schema: &huma.Schema{Type: "string"},
			Description: "The ETag of a response that the caller has. While it is current, the " +
				"response is 304 without a body.",
		}},
		Errors: []int{400, 401, 403, 404, 409, 422, 429, 503},
	}, needOf(q)
}

// needOf is what the caller of a query needs.
func needOf(q query.Info) auth.Need {
	need := auth.Need{Own: q.Own || q.Self, Self: q.Self}
	for _, role := range q.Roles {
		need.Roles = append(need.Roles, string(role))
	}
	return need
}

// mount adds a query's route.
func (a *API) mount(e query.Endpoint) {
	op, need := a.operation(e.Info())
	a.needs[op.Method+" "+op.Path], a.queries[op.Method+" "+op.Path] = need, true
	op.Middlewares = huma.Middlewares{a.gate(a.admitter(need)), a.gate(chooseFormat(e.Info()))}
	e.Mount(a.huma, op, a.serveQuery)
	described := a.huma.OpenAPI().Paths[op.Path].Get
	describeFormats(described, e.Info().Tables)
	responses := described.Responses
	responses["200"].Headers = resultHeaders()
	responses["404"].Headers = snapshotHeaders()
	responses["304"] = &huma.Response{
		Description: "The response that the caller has is current.",
		Headers:     resultHeaders(),
	}
}

// snapshotHeaders are of results, and of responses that there is none.
func snapshotHeaders() map[string]*huma.Param {
	return map[string]*huma.Param{
		headerPosition: text("The position of the last event that the response covers."),
		headerParked: text("How many subjects of the school are parked: their latest events are " +
			"missing from the response."),
		headerParkedFrom: text("Present when so many of them are that the school is parked " +
			"whole: no event of the school from this position on is in the response."),
	}
}

func text(description string) *huma.Param {
	return &huma.Param{Description: description, Schema: &huma.Schema{Type: "string"}}
}

func resultHeaders() map[string]*huma.Param {
	headers := snapshotHeaders()
	headers["X-Cache"] = text("hit, miss or bypass: whether the response came from the cache.")
	headers["ETag"] = text("Identifies the response's body.")
	return headers
}

// serveQuery runs a query: from the cache if what is there is new enough, else in one snapshot of
// the database. The cache key has everything that the result depends on besides the tables: input,
// day, settings, the caller's scope, and the versions of the program and of the projections, so that two
// releases side by side do not read each other's results.
func (a *API) serveQuery(ctx context.Context, q query.Request) (*huma.StreamResponse, error) {
	start := time.Now()
	req := requestOf(ctx)
	minPosition, err := a.minPosition(req)
	if err != nil {
		return nil, err
	}
	today, err := a.deps.Today(ctx, req.school)
	if err != nil {
		return nil, problemOf(err)
	}
	scope := query.Scope{School: req.school, Log: a.deps.LogID, Today: today}
	if scope.Settings, err = a.deps.Numbers(ctx, req.school); err != nil {
		return nil, problemOf(err)
	}
	if q.Info.Self && req.access == auth.Own {
		scope.Self = req.bearer.Subject
	}
	if a.deps.Audit != nil && !q.Info.Impersonal {
		if err := a.deps.Audit.Admit(); err != nil {
			return nil, unavailable(err, time.Second, "%s", err)
		}
	}
	if req.format.table != nil {
		return a.serveRows(ctx, q, scope, minPosition), nil
	}
	refuse := func(err error) (*huma.StreamResponse, error) {
		if errors.Is(err, query.ErrDenied) {
			a.note(req, req.school, thingOf(q, req.url), audit.REST, true)
		}
		return nil, problemOf(err)
	}
	for try := 1; ; try++ {
		v, err := a.viewer(ctx, req, q, today, minPosition)
		if err != nil {
			return refuse(err)
		}
		got, offset, outcome, err := a.result(ctx, v, scope, minPosition, q)
		if errors.Is(err, errScopeMoved) && try < maxScopeTries {
			a.directories.forget(directoryKey{req.school, req.bearer.Subject})
			continue
		}
		if failed, ok := errors.AsType[*queryError](err); ok {
			return nil, failed.problem(a.deps.LogID)
		}
		if err != nil {
			return refuse(err)
		}
		at := domain.Position{Partition: minPosition.Partition, Offset: offset}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			r, w := humago.Unwrap(hc)
			isCurrent := matches(r.Header.Get("If-None-Match"), got.tag)
			if v.showsPeople(q) {
				a.note(req, req.school, thingOf(q, req.url), channelOf(isCurrent), false)
			}
			got.write(w, isCurrent, a.deps.LogID.At(at), outcome, time.Since(start))
		}}, nil
	}
}

// maxScopeTries bounds how often a query starts again because its caller's scope has changed.
const maxScopeTries = 5

// result returns a query's result for a viewer.
func (a *API) result(
	ctx context.Context, v *viewer, scope query.Scope, minPosition domain.Position, q query.Request,
) (got result, offset int64, outcome cache.Outcome, err error) {
	// Deterministic, so that equal inputs have equal keys.
	input, err := json.Marshal(q.Input, json.Deterministic(true))
	if err != nil {
		return got, 0, "", fmt.Errorf("encode input of query %s: %w", q.Info.Name, err)
	}
	input = append(append(input, a.config.Version...), scope.Today.String()...)
	input = strconv.AppendInt(append(input, ' '), scope.Settings.Version, 10)
	key := cache.Key{
		Partition: minPosition.Partition, School: scope.School, Query: q.Info.Name,
		Input: digest(append(input, v.scope.Key()...)),
	}
	for _, p := range q.Info.Reads {
		key.Projections = append(key.Projections, p.Name)
		key.Input += "." + strconv.Itoa(p.Version)
	}
	lookup := cache.Lookup{
		Key: key, TTL: q.Info.TTL, MinOffset: minPosition.Offset, Private: v.private,
		Await: func(ctx context.Context) error { return a.await(ctx, minPosition) },
	}
	return a.results.Get(ctx, lookup,
		func(ctx context.Context) (result, cache.Snapshot, error) {
			return a.load(ctx, minPosition, scope, v, q)
		})
}

// minPosition returns the position that the response must cover; offset -1 of the school's
// partition without one.
func (a *API) minPosition(req *request) (domain.Position, error) {
	own := eventlog.PartitionFor(req.school, a.deps.Partitions)
	if req.minPosition == "" {
		return domain.Position{Partition: own, Offset: -1}, nil
	}
	at, err := a.deps.LogID.Parse(req.minPosition)
	if errors.Is(err, domain.ErrOtherLog) {
		return at, ofOtherLog(headerMinPosition, err)
	}
	if err != nil {
		return at, problem(http.StatusBadRequest, "%s: %s", headerMinPosition, err)
	}
	if at.Partition != own {
		return at, problem(http.StatusBadRequest, "%s: the school's events are in partition %d",
			headerMinPosition, own)
	}
	return at, nil
}

// await waits until the tables have reached a position, at most the time that a read may wait.
func (a *API) await(ctx context.Context, minPosition domain.Position) error {
	if minPosition.Offset < 0 { // no position was named
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, a.config.WaitLimit)
	defer cancel()
	if err := a.deps.Positions.Await(limited, minPosition); err != nil && ctx.Err() == nil {
		return notReached(minPosition)
	}
	return ctx.Err()
}

// load makes a query's result from a snapshot, which must cover the position.
func (a *API) load(
	ctx context.Context, minPosition domain.Position, scope query.Scope, v *viewer,
	q query.Request,
) (got result, of cache.Snapshot, err error) {
	defer func() {
		// it runs in a goroutine shared by requests, where net/http does not recover
		if p := recover(); p != nil {
			err = fmt.Errorf("query %s panicked: %v\n%s", q.Info.Name, p, debug.Stack())
		}
	}()
	read := func(tx pgx.Tx, scope query.Scope, s cache.Snapshot) error {
		out, err := q.Run(ctx, tx, scope)
		if err != nil {
			return err
		}
		got.body, err = json.Marshal(out, json.Deterministic(true))
		if err != nil {
			return fmt.Errorf("encode result of query %s: %w", q.Info.Name, err)
		}
		got.tag, of = digest(got.body), s
		return nil
	}
	err = a.snapshot(ctx, minPosition, scope, v, q, &got, read)
	return got, of, err
}

// snapshot reads the tables at one position, which must cover a given one: with the scope that the
// viewer has there, and got saying what the tables lack.
func (a *API) snapshot(
	ctx context.Context, minPosition domain.Position, scope query.Scope, v *viewer,
	q query.Request, got *result,
	run func(pgx.Tx, query.Scope, cache.Snapshot) error,
) error {
	return a.deps.Tables.Read(ctx, scope.School, func(tx pgx.Tx) error {
		at, tables, err := checkpoint.PositionOfTables(ctx, tx, a.deps.Set, minPosition.Partition)
		if err != nil {
			return err
		}
		// The wait is over, but the snapshot may be of a standby that lags behind.
		if at.Offset < minPosition.Offset {
			return notReached(minPosition)
		}
		if scope.Access, err = a.within(ctx, tx, v, scope, q.Student); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT parked_count($1), coalesce(parked_from($1), -1)`,
			scope.School).Scan(&got.parked, &got.parkedFrom); err != nil {
			return fmt.Errorf("count parked subjects: %w", err)
		}
		if err := run(tx, scope, cache.Snapshot{Offset: at.Offset, Tables: tables}); err != nil {
			return &queryError{fmt.Errorf("query %s: %w", q.Info.Name, err), *got, at}
		}
		return nil
	})
}

// queryError is why a query has no result, for example because there is no such student, in a
// snapshot that may lack events all the same.
type queryError struct {
	err error
	of  result // without a body
	at  domain.Position
}

func (e *queryError) Error() string { return e.err.Error() }

func (e *queryError) Unwrap() error { return e.err }

// problem is the response, which says what the snapshot lacks as any result does.
func (e *queryError) problem(log domain.LogID) error {
	p := *problemOf(e.err)
	p.header = http.Header{}
	e.of.describe(p.header, log.At(e.at))
	return &p
}

func notReached(minPosition domain.Position) error {
	return unavailable(nil, time.Second, "the read models have not reached position %s yet",
		minPosition)
}

// write responds with the result, or with 304 when what the caller has is current.
func (a result) write(
	w http.ResponseWriter, isCurrent bool, at domain.LogPosition, outcome cache.Outcome,
	took time.Duration,
) {
	h := w.Header()
	// Weak, since compression in between changes the bytes.
	tag := `W/"` + a.tag + `"`
	h.Set("Content-Type", "application/json")
	// Browsers may store it, but must revalidate: another user may sign in, and events arrive at
	// any time.
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization")
	h.Add("Vary", "Accept")
	h.Set("ETag", tag)
	h.Set("X-Cache", string(outcome))
	a.describe(h, at)
	h.Set("Server-Timing",
		fmt.Sprintf("query;desc=%s;dur=%.2f", outcome, float64(took.Microseconds())/1000))
	if isCurrent {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(a.body) // fails only when the client is gone
}

// describe says up to where the result goes, and what it lacks.
func (a result) describe(h http.Header, at domain.LogPosition) {
	h.Set(headerPosition, at.String())
	h.Set(headerParked, strconv.FormatUint(uint64(a.parked), 10))
	if a.parkedFrom >= 0 {
		at.Offset = a.parkedFrom
		h.Set(headerParkedFrom, at.String())
	}
}

// matches compares weakly, as RFC 9110 requires for If-None-Match. Compression in between may have
// added a suffix.
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.Trim(strings.TrimPrefix(strings.TrimSpace(candidate), "W/"), `"`)
		if candidate == "*" || candidate == tag {
			return true
		}
	}
	return false
}

// tagOf sorts a query under a tag by the first segment of its path.
func tagOf(path string) string {
	switch first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); first {
	case "students", "classes":
		return tagStudents
	case "deliveries":
		return tagDeliveries
	}
	return tagAnalytics
}
