package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/numbers"
)

// numbersReport says how the responses of a school compare with the calculation from its log.
type numbersReport struct {
	School      string        `json:"school"`
	Position    string        `json:"position"` // of the last response
	Events      int           `json:"events"`
	Values      int           `json:"values"`
	Differences int           `json:"differences"`
	Parked      int           `json:"parked"` // subjects whose latest events are not in the tables
	Responses   []checkedPath `json:"responses"`
}

// checkedPath is one response.
type checkedPath struct {
	Path string `json:"path"`
	numbers.Compared
}

// numbersCheck reads the log and the responses of a school over HTTP, as anybody could.
type numbersCheck struct {
	api    *client.Client
	school string
	scope  numbers.Scope

	events []*domain.Envelope
	next   string // where to read on
	report numbersReport
}

func (c *verifyCommand) numbers(ctx context.Context) (numbersReport, error) {
	if c.School == "" || len(c.Projections) > 0 {
		return numbersReport{}, usageError{errors.New("--numbers is for one --school, without read models")}
	}
	api, err := remote{URL: c.URL, Token: c.Token, Data: c.Data}.client()
	if err != nil {
		return numbersReport{}, err
	}
	defer api.Close()
	k := &numbersCheck{api: api, school: c.School, report: numbersReport{School: c.School}}
	if err := k.clock(ctx); err != nil {
		return k.report, err
	}
	return k.report, k.fees(ctx)
}

// clock finds out which day it is at the school.
func (k *numbersCheck) clock(ctx context.Context) error {
	var settings struct {
		TimeZone string `json:"time_zone"`
	}
	if err := k.api.Get(ctx, k.path("/settings"), &settings); err != nil {
		return err
	}
	zone, err := time.LoadLocation(settings.TimeZone) // "" is UTC
	if err != nil {
		return err
	}
	k.scope = numbers.Scope{Today: domain.DateOf(time.Now().In(zone)), Zone: zone}
	return nil
}

func (k *numbersCheck) path(below string) string {
	return "/v1/schools/" + url.PathEscape(k.school) + below
}

// fees checks the fees in all, and of each term.
func (k *numbersCheck) fees(ctx context.Context) error {
	all, err := k.check(ctx, "fees", "/analytics/fees", url.Values{})
	if err != nil {
		return err
	}
	terms, _ := all["by_term"].([]any)
	seen := map[string]bool{}
	for _, row := range terms {
		of, _ := row.(map[string]any)
		selected := url.Values{}
		for _, name := range []string{"year", "term"} {
			if text, ok := of[name].(string); ok {
				selected.Set(name, text)
			}
		}
		if seen[selected.Encode()] {
			continue // in another currency
		}
		seen[selected.Encode()] = true
		if _, err := k.check(ctx, "fees", "/analytics/fees", selected); err != nil {
			return err
		}
	}
	return nil
}

// check compares one response, and returns it.
func (k *numbersCheck) check(
	ctx context.Context, query, path string, selected url.Values,
) (map[string]any, error) {
	var response map[string]any
	header, err := k.api.GetWithHeader(ctx, k.path(path)+"?"+selected.Encode(), &response)
	if err != nil {
		return nil, err
	}
	k.report.Position = header.Get("Schoolbell-Position")
	if k.report.Parked, err = strconv.Atoi(header.Get("Schoolbell-Parked")); err != nil {
		return nil, fmt.Errorf("read Schoolbell-Parked: %w", err)
	}
	var until domain.LogPosition
	if err := until.UnmarshalText([]byte(k.report.Position)); err != nil {
		return nil, err
	}
	if err := k.read(ctx, until.Offset); err != nil {
		return nil, err
	}
	events := k.events
	for len(events) > 0 && events[len(events)-1].Position.Offset > until.Offset {
		events = events[:len(events)-1] // read with others, and not in the response
	}
	whole := maps.Clone(response)
	found := checkedPath{path, numbers.Compare(
		numbers.Calculate(query, events, k.scope, selected.Get), response)}
	if len(selected) > 0 {
		found.Path += "?" + selected.Encode()
	}
	k.report.Events = len(events)
	k.report.Values += found.Values
	k.report.Differences += len(found.Differences)
	k.report.Responses = append(k.report.Responses, found)
	return whole, nil
}

// read reads the school's events up to an offset.
func (k *numbersCheck) read(ctx context.Context, until int64) error {
	for {
		if n := len(k.events); n > 0 && k.events[n-1].Position.Offset >= until {
			return nil
		}
		page, err := k.api.Events(ctx, k.school, k.next, client.MaxEvents, 0)
		if err != nil {
			return err
		}
		for _, text := range page.Events {
			e, err := decodeStructured(text)
			if err != nil {
				return err
			}
			k.events = append(k.events, e)
		}
		if page.Unreadable > 0 {
			return errors.New("the log has events of a newer version")
		}
		after := page.Next.String()
		if after == k.next && len(page.Events) == 0 {
			return nil
		}
		k.next = after
	}
}

// decodeStructured reads an event as the API writes it, in the way of those in the log.
func decodeStructured(text jsontext.Value) (*domain.Envelope, error) {
	var attributes map[string]jsontext.Value
	if err := json.Unmarshal(text, &attributes); err != nil {
		return nil, err
	}
	var rec eventlog.Record
	for name, value := range attributes {
		if name == "data" {
			rec.Value = value
			continue
		}
		var plain string
		if err := json.Unmarshal(value, &plain); err != nil {
			return nil, fmt.Errorf("read attribute %s of an event: %w", name, err)
		}
		switch name {
		case "position":
			var at domain.LogPosition
			if err := at.UnmarshalText([]byte(plain)); err != nil {
				return nil, err
			}
			rec.Position = at.Position
		case "school":
			rec.Key = []byte(plain)
		case "datacontenttype":
			rec.Headers = append(rec.Headers, eventlog.Header{Key: "content-type", Value: []byte(plain)})
		default:
			rec.Headers = append(rec.Headers, eventlog.Header{Key: "ce_" + name, Value: []byte(plain)})
		}
	}
	e, err := cloudevents.Decode(rec)
	if err != nil {
		return nil, fmt.Errorf("read the event at %s: %w", rec.Position, err)
	}
	return e, nil
}

func (r numbersReport) print(w io.Writer) error {
	for _, c := range r.Responses {
		for _, d := range c.Differences {
			fmt.Fprintf(w, "%s %s is %s, but %s by the log\n", c.Path, d.Pointer, d.Response, d.Calculated)
		}
	}
	verdict := "all as calculated from the log"
	if r.Differences > 0 {
		verdict = quantity(r.Differences, "difference", "differences")
	}
	_, err := fmt.Fprintf(w, "%s: %s of %s compared at %s, from %s: %s.\n", printable(r.School),
		quantity(r.Values, "value", "values"), quantity(len(r.Responses), "response", "responses"),
		r.Position, quantity(r.Events, "event", "events"), verdict)
	if r.Parked > 0 {
		fmt.Fprintf(w, "%s of the school are parked: their latest events are in the log and not in "+
			"the tables.\n", quantity(r.Parked, "subject", "subjects"))
	}
	return err
}
