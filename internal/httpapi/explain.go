package httpapi

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/numbers"
	"github.com/schoolbell/schoolbell/projections/query"
)

const (
	// maxExplained is how many events a number may be calculated from.
	maxExplained = 500_000
	// explainRun is how many of them are read at once.
	explainRun = 4096
)

// explainInput names a number of a response, by the request for that response.
type explainInput struct {
	Query string       `query:"query" required:"true" enum:"fees" doc:"The query whose response has the number"`
	Field string       `query:"field" required:"true" maxLength:"512" doc:"JSON pointer to the number, for example /totals/0/outstanding"`
	Year  domain.Label `query:"year" maxLength:"32" doc:"As in the request for the response"`
	Term  domain.Label `query:"term" maxLength:"32" doc:"As in the request for the response"`
	At    string       `query:"position" maxLength:"64" doc:"Schoolbell-Position of the response; where the tables stand when absent"`
	After int64        `query:"after" minimum:"0" doc:"The next of the previous page"`
	Limit int          `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Events on a page"`
}

// Explanation says which events a number is made of.
type Explanation struct {
	Query       string             `json:"query"`
	Field       string             `json:"field"`
	Value       jsontext.Value     `json:"value" doc:"The number as the response has it"`
	Numerator   jsontext.Value     `json:"numerator,omitzero" doc:"Of a quotient"`
	Denominator jsontext.Value     `json:"denominator,omitzero" doc:"Of a quotient"`
	Position    domain.LogPosition `json:"position" doc:"Events up to here are in it"`
	Today       domain.Date        `json:"today" doc:"The day by the school's clock that it is for"`
	TimeZone    string             `json:"time_zone"`
	Count       int                `json:"count" doc:"How many events it is made of"`
	Hidden      int                `json:"hidden" doc:"How many of them the caller may not see"`
	Events      []Contribution     `json:"events" doc:"Those that the caller may see, in the order of the log"`
	Next        int64              `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// Contribution is one event and what it adds.
type Contribution struct {
	Position    domain.LogPosition `json:"position"`
	ID          string             `json:"id"`
	Source      string             `json:"source"`
	Type        string             `json:"type"`
	Subject     string             `json:"subject"`
	Time        time.Time          `json:"time"`
	Added       jsontext.Value     `json:"added,omitzero" doc:"What it adds to a sum; 0 when it decides what others add"`
	Numerator   jsontext.Value     `json:"numerator,omitzero" doc:"What it adds to the numerator of a quotient"`
	Denominator jsontext.Value     `json:"denominator,omitzero" doc:"What it adds to the denominator"`
}

// explainRoutes adds the route that says which events a number is made of.
func (a *API) explainRoutes() {
	need := auth.Need{}
	for _, e := range a.deps.Queries {
		if info := e.Info(); slices.Contains(numbers.Queries(), info.Name) {
			for _, role := range info.Roles {
				need.Roles = append(need.Roles, string(role))
			}
		}
	}
	handle(a, huma.Operation{
		OperationID: "explain", Method: http.MethodGet, Path: schoolPath + "/explain",
		Tags: []string{tagAnalytics}, Summary: "Say which events a number is made of",
		Description: "Sums and quotients of sums. The number is calculated again from the school's " +
			"events, without the tables: what the events add makes exactly the number. Those that " +
			"add nothing but without which others would add something else are among them. Events " +
			"are named as the caller would see them in rooms; of others there is only how many " +
			"they are. What the school has parked is not left out, as it is in the tables.",
		Errors: []int{404, 409, 422},
	}, need, a.explain)
}

func (a *API) explain(
	ctx context.Context, req *request, in *explainInput,
) (*response[Explanation], error) {
	scope, at, see, err := a.explained(ctx, req, in)
	if err == nil && see.Shows(access.Names) {
		err = a.noteList(req)
	}
	if err != nil {
		return nil, err
	}
	events, err := a.eventsOf(ctx, req.school, at, func(e *domain.Envelope) bool {
		return numbers.Takes(in.Query, e.Data)
	})
	if err != nil {
		return nil, err
	}
	parameters := map[string]domain.Label{"year": in.Year, "term": in.Term}
	result := numbers.Calculate(in.Query, events, scope,
		func(name string) string { return string(parameters[name]) })
	value, found := numbers.At(result, in.Field)
	number, isNumber := value.(*numbers.Number)
	if !found || !isNumber {
		return nil, problem(http.StatusNotFound, "the response has no sum and no quotient of sums "+
			"at %.200q that can be explained", in.Field)
	}
	return &response[Explanation]{a.explanation(in, scope, at, number, see)}, nil
}

// explained finds out for what, up to where and for whom a number is explained.
func (a *API) explained(ctx context.Context, req *request, in *explainInput) (
	scope numbers.Scope, at domain.Position, see access.Scope, err error,
) {
	info, _ := a.queryNamed(in.Query)
	if _, err := auth.Authorize(req.bearer, req.school, needOf(info)); err != nil {
		return scope, at, see, err
	}
	if scope.Today, err = a.deps.Today(ctx, req.school); err != nil {
		return scope, at, see, err
	}
	settings, err := a.deps.Numbers(ctx, req.school)
	if err != nil {
		return scope, at, see, err
	}
	scope.Zone = settings.Location()
	wanted := *req
	wanted.minPosition = in.At
	until, err := a.minPosition(&wanted)
	if err != nil {
		return scope, at, see, err
	}
	if err := a.await(ctx, until); err != nil {
		return scope, at, see, err
	}
	v, err := a.viewer(ctx, req, query.Request{Info: query.Info{ByScope: true}}, scope.Today, until)
	if err != nil {
		return scope, at, see, err
	}
	err = a.deps.Tables.Read(ctx, req.school, func(tx pgx.Tx) error {
		at, _, err = checkpoint.PositionOfTables(ctx, tx, a.deps.Set, until.Partition)
		if err != nil {
			return err
		}
		if at.Offset < until.Offset {
			return notReached(until)
		}
		see, err = a.within(ctx, tx, v, query.Scope{School: req.school, Today: scope.Today}, "")
		return err
	})
	if until.Offset >= 0 {
		at = until
	}
	return scope, at, see, err
}

// eventsOf reads the events of a school up to a position by the log's index, without those that an
// operator has skipped.
func (a *API) eventsOf(
	ctx context.Context, school string, until domain.Position, wanted func(*domain.Envelope) bool,
) ([]*domain.Envelope, error) {
	start, _, err := a.deps.Log.Bounds(ctx, until.Partition)
	if err != nil {
		return nil, err
	}
	var events []*domain.Envelope
	skipped := map[int64]bool{}
	for next := start; next <= until.Offset; {
		s, err := a.indexed(ctx, school, until.Partition, next)
		if err != nil {
			return nil, err
		}
		for i := range s.Entries {
			if s.Entries[i].Offset() > until.Offset {
				break
			}
			e, err := s.Entries[i].Event()
			if err != nil {
				continue // nobody can use it
			}
			if skip, ok := e.Data.(*log.EventSkipped); ok {
				if at, err := a.deps.LogID.Parse(skip.Position); err == nil {
					skipped[at.Offset] = true
				}
			}
			if wanted(e) {
				events = append(events, e)
			}
		}
		if len(events) > maxExplained {
			return nil, problem(http.StatusUnprocessableEntity,
				"the number is made of more than %d events", maxExplained)
		}
		if s.Next <= next {
			break // the index goes as far as the tables, so nothing is left
		}
		next = s.Next
	}
	return slices.DeleteFunc(events,
		func(e *domain.Envelope) bool { return skipped[e.Position.Offset] }), nil
}

// indexed reads one run of a school's events, in turn with the other readers of its log.
func (a *API) indexed(
	ctx context.Context, school string, partition int32, from int64,
) (eventlog.Stretch, error) {
	if a.deps.Index == nil {
		return eventlog.Stretch{}, unavailable(nil, time.Minute, "this process has no index of the log")
	}
	if err := a.scans.enter(ctx, school); err != nil {
		return eventlog.Stretch{}, err
	}
	defer a.scans.leave(school)
	s, err := a.deps.Reader.ReadIndexed(ctx, a.deps.Index, school, partition, from, explainRun)
	if err != nil && ctx.Err() == nil {
		err = unavailable(err, time.Second, "the log cannot be read at the moment")
	}
	return s, err
}

// explanation writes a page of a number's events.
func (a *API) explanation(
	in *explainInput, scope numbers.Scope, at domain.Position, n *numbers.Number, see access.Scope,
) Explanation {
	x := Explanation{
		Query: in.Query, Field: in.Field, Value: jsontext.Value(n.Shown()),
		Position: a.deps.LogID.At(at), Today: scope.Today, TimeZone: scope.Zone.String(),
		Events: []Contribution{},
	}
	if n.Numerator != nil {
		x.Numerator = jsontext.Value(n.Numerator.Shown())
		x.Denominator = jsontext.Value(n.Denominator.Shown())
	}
	for _, t := range n.Events() {
		x.Count++
		switch {
		case !shownTo(&see, t.Event):
			x.Hidden++
		case x.Next != 0 || t.Event.Position.Offset < in.After:
		case len(x.Events) == in.Limit:
			x.Next = t.Event.Position.Offset
		default:
			e := t.Event
			c := Contribution{
				Position: a.deps.LogID.At(e.Position), ID: e.ID, Source: e.Source, Type: e.Type,
				Subject: e.Subject, Time: e.Time,
			}
			if n.Numerator == nil {
				c.Added = decimal(t.Added)
			} else {
				c.Numerator, c.Denominator = decimal(t.Numerator), decimal(t.Denominator)
			}
			x.Events = append(x.Events, c)
		}
	}
	return x
}

// decimal writes what an event adds, which may be a fraction.
func decimal(r *big.Rat) jsontext.Value {
	text := r.FloatString(6)
	if strings.Contains(text, ".") {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return jsontext.Value(text)
}

// shownTo says whether somebody would see an event in a room: the school's, or one of its own.
func shownTo(see *access.Scope, e *domain.Envelope) bool {
	as := see.Audiences("") // of the school's room
	for _, room := range e.Data.Rooms() {
		as |= see.AudiencesInRoom(room)
	}
	for a := range domain.Audience(domain.AudienceCount) {
		if as.Has(a) && domain.See(e.Data, a) != nil {
			return true
		}
	}
	return false
}

func (a *API) queryNamed(name string) (query.Info, error) {
	for _, e := range a.deps.Queries {
		if info := e.Info(); info.Name == name {
			return info, nil
		}
	}
	return query.Info{}, fmt.Errorf("%w: %.40q", ErrNoQuery, name)
}
