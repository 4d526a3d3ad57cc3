package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
)

// DeadLetter is a single record that nobody can use, whoever found that.
type DeadLetter struct {
	ID       string             `json:"id" doc:"A number, or the position of an event that could not be planned"`
	Kind     deadletter.Kind    `json:"kind" enum:"inbox,log,plan,conflict" doc:"Refused at an inbox, skipped in the log, without a plan, or with the id of another event"`
	Topic    string             `json:"topic,omitzero" doc:"The inbox"`
	Position domain.LogPosition `json:"position" doc:"Where the record is, in its topic"`
	Last     int64              `json:"last_offset,omitzero" doc:"Of a batch that cannot be decoded"`
	School   string             `json:"school" doc:"Empty when it is unknown"`
	EventID  string             `json:"event_id"`
	Type     string             `json:"type"`
	Reason   string             `json:"reason" doc:"All faults in one line"`
	Faults   []domain.Fault     `json:"faults,omitzero"`
	At       time.Time          `json:"at"`
	// Record is in the response for one letter only.
	Record *DeadLetterRecord `json:"record,omitzero" doc:"As its producer wrote it, unless it was too large"`
}

// DeadLetterRecord is a record as its producer wrote it, with bytes in base64.
type DeadLetterRecord struct {
	Time    time.Time          `json:"time"`
	Key     []byte             `json:"key"`
	Value   []byte             `json:"value"`
	Headers []DeadLetterHeader `json:"headers"`
}

// DeadLetterHeader is a header of a record.
type DeadLetterHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// DeadLetters is a page of dead letters: first events without a plan, in the order of their
// positions, then the others, the oldest first.
type DeadLetters struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	Next        string       `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// deadLettersPage is what a school's list and the one of all schools have in common.
type deadLettersPage struct {
	Kind  deadletter.Kind `query:"kind" enum:"inbox,log,plan,conflict" doc:"Only of this kind"`
	After string          `query:"after" maxLength:"64" doc:"The next of the previous page"`
	Limit int             `query:"limit" minimum:"1" maximum:"1000" default:"1000" doc:"Dead letters per page"`
}

type deadLettersInput struct {
	School string          `query:"school" maxLength:"128" doc:"Only of this school"`
	Kind   deadletter.Kind `query:"kind" enum:"inbox,log,plan,conflict" doc:"Only of this kind"`
	After  string          `query:"after" maxLength:"64" doc:"The next of the previous page"`
	Limit  int             `query:"limit" minimum:"1" maximum:"1000" default:"1000" doc:"Dead letters per page"`
}

type deadLetterInput struct {
	ID string `path:"id" maxLength:"64" doc:"The letter's id, for example 17 or 7:1042-k3f9a"`
}

func (a *API) deadLetterRoutes() {
	handle(a, huma.Operation{
		OperationID: "list-school-dead-letters", Method: http.MethodGet,
		Path: schoolPath + "/deadletters", Tags: []string{tagEvents},
		Summary: "List records of a school that nobody can use",
		Description: "What other systems wrote to an inbox and was refused, with all faults, and " +
			"events that could not be planned. They are stored for 30 days, and at most 10,000 " +
			"of a day.",
	}, needAdmin, func(
		ctx context.Context, req *request, in *deadLettersPage,
	) (*response[DeadLetters], error) {
		return a.deadLetters(ctx, req.school, in)
	})
	operation(a, huma.Operation{
		OperationID: "list-dead-letters", Method: http.MethodGet,
		Path:    operationsPath + "/deadletters",
		Summary: "List records that nobody can use",
		Description: "A record that is refused at an inbox, skipped in the log, or for which no " +
			"deliveries can be planned, is a dead letter: later ones do not wait for it.",
	}, func(ctx context.Context, _ *request, in *deadLettersInput) (*response[DeadLetters], error) {
		return a.deadLetters(ctx, in.School,
			&deadLettersPage{Kind: in.Kind, After: in.After, Limit: in.Limit})
	})
	operation(a, huma.Operation{
		OperationID: "get-dead-letter", Method: http.MethodGet,
		Path:    operationsPath + "/deadletters/{id}",
		Summary: "Get a dead letter, with its record", Errors: []int{404},
	}, func(ctx context.Context, _ *request, in *deadLetterInput) (*response[DeadLetter], error) {
		shown, _, err := a.deadLetter(ctx, in.ID)
		return &response[DeadLetter]{shown}, err
	})
	if a.deps.Consumers.Replan == nil {
		return
	}
	operation(a, huma.Operation{
		OperationID: "retry-dead-letter", Method: http.MethodPost,
		Path:    operationsPath + "/deadletters/{id}/retry",
		Summary: "Use the record of a dead letter after all",
		Description: "After its cause is fixed: an event is planned again, and a record that an " +
			"inbox refused is checked again and appended to the log. When that fails it stays a " +
			"dead letter, and the response is 409 with the reason.",
		DefaultStatus: http.StatusNoContent, Errors: []int{404, 409},
	}, func(ctx context.Context, _ *request, in *deadLetterInput) (*empty, error) {
		return nil, a.retryDeadLetter(ctx, in.ID)
	})
}

// deadLetters reads a page of those of the planners, which are in the ledger, and then of all others.
// The id of the last one says where the next page begins, as ids of the two kinds look different.
func (a *API) deadLetters(
	ctx context.Context, school string, in *deadLettersPage,
) (*response[DeadLetters], error) {
	var from domain.Position
	after, err := strconv.ParseInt(cmp.Or(in.After, "0"), 10, 64)
	planned := err != nil || in.After == ""
	if err != nil {
		from, err = a.deps.LogID.Parse(in.After)
		if errors.Is(err, domain.ErrOtherLog) {
			return nil, ofOtherLog("after", err)
		}
		if err != nil {
			return nil, wrongParameter("after", "is not the next of a page")
		}
		from.Offset++
	}
	c := a.deps.Consumers
	// One more than the page tells whether there is a next one.
	all := make([]DeadLetter, 0, in.Limit+1)
	if planned && (in.Kind == "" || in.Kind == deadletter.Plan) {
		letters, err := c.Ledger.DeadLetters(ctx,
			ledger.DeadLetterFilter{School: school, From: from, Limit: in.Limit + 1})
		if err != nil {
			return nil, err
		}
		for i := range letters {
			all = append(all, a.fromLedger(&letters[i]))
		}
	}
	if c.DeadLetters != nil && len(all) <= in.Limit && in.Kind != deadletter.Plan {
		letters, err := deadletter.List(ctx, c.DeadLetters, deadletter.Filter{
			School: school, Kind: in.Kind, After: after, Limit: in.Limit + 1 - len(all),
		})
		if err != nil {
			return nil, err
		}
		for i := range letters {
			all = append(all, a.fromStore(&letters[i]))
		}
	}
	page := DeadLetters{DeadLetters: all}
	if len(all) > in.Limit {
		page.DeadLetters, page.Next = all[:in.Limit], all[in.Limit-1].ID
	}
	return &response[DeadLetters]{page}, nil
}

// deadLetter finds one by its id; stored is nil for one of the planners.
func (a *API) deadLetter(
	ctx context.Context, id string,
) (shown DeadLetter, stored *deadletter.Letter, err error) {
	none := problem(http.StatusNotFound, "%.64q is no dead letter, or no longer", id)
	c := a.deps.Consumers
	if at, err := a.deps.LogID.Parse(id); err == nil {
		found, err := c.Ledger.DeadLetters(ctx, ledger.DeadLetterFilter{From: at, Limit: 1})
		if err != nil {
			return shown, nil, err
		}
		if len(found) == 0 || found[0].Position != at {
			return shown, nil, none
		}
		return a.fromLedger(&found[0]), nil, nil
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || c.DeadLetters == nil {
		return shown, nil, none
	}
	letter, err := deadletter.Get(ctx, c.DeadLetters, n)
	if errors.Is(err, deadletter.ErrNotFound) {
		return shown, nil, none
	}
	return a.fromStore(&letter), &letter, err
}

func (a *API) retryDeadLetter(ctx context.Context, id string) error {
	c := a.deps.Consumers
	shown, stored, err := a.deadLetter(ctx, id)
	switch {
	case err != nil:
		return err
	case stored != nil && stored.Kind == deadletter.Inbox && c.RetryLetter != nil:
		err := c.RetryLetter(ctx, stored)
		if invalid, ok := errors.AsType[*domain.InvalidError](err); ok {
			return problem(http.StatusConflict, "the record is still refused: %s",
				(&deadletter.Letter{Faults: invalid.Faults}).Reason())
		}
		return err
	case stored != nil && stored.Kind == deadletter.Conflict:
		return problem(http.StatusConflict, "another event has the same source and id, and only the "+
			"earlier one counts: its producer can send this one with an id of its own")
	case stored != nil:
		return problem(http.StatusConflict, "a record that was skipped in the log stays skipped: "+
			"its producer can send a right one")
	}
	if err := c.Replan(ctx, shown.Position.Position); err != nil {
		return err
	}
	// Planning reports a failure as a dead letter, not as an error, so the list says what came of it.
	shown, _, err = a.deadLetter(ctx, id)
	if p, ok := errors.AsType[*Problem](err); ok && p.Status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return problem(http.StatusConflict, "the event at %s still cannot be planned: %s",
		shown.Position, shown.Reason)
}

func (a *API) fromLedger(l *ledger.DeadLetter) DeadLetter {
	at := a.deps.LogID.At(l.Position)
	return DeadLetter{
		ID: at.String(), Kind: deadletter.Plan, Position: at,
		School: l.School, EventID: l.EventID, Type: l.Type, Reason: l.Reason, At: l.At,
	}
}

func (a *API) fromStore(l *deadletter.Letter) DeadLetter {
	at := domain.LogPosition{Position: l.Position}
	if l.Topic == "" { // the log's
		at = a.deps.LogID.At(l.Position)
	}
	shown := DeadLetter{
		ID: strconv.FormatInt(l.ID, 10), Kind: l.Kind, Topic: l.Topic,
		Position: at, Last: l.Last, School: l.School, EventID: l.EventID, Type: l.Type,
		Reason: l.Reason(), Faults: l.Faults, At: l.At,
	}
	if l.Record != nil {
		shown.Record = &DeadLetterRecord{
			Time: l.Record.Time, Key: l.Record.Key,
			Value: l.Record.Value, Headers: make([]DeadLetterHeader, 0, len(l.Record.Headers)),
		}
		for _, h := range l.Record.Headers {
			shown.Record.Headers = append(shown.Record.Headers,
				DeadLetterHeader{h.Key, strings.ToValidUTF8(string(h.Value), "\uFFFD")})
		}
	}
	return shown
}
