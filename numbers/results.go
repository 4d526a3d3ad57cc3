package numbers

import (
	"maps"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// result calculates the response of one query. Parameters are those of the request.
type result struct {
	of func(events []*domain.Envelope, scope Scope, parameter func(string) string) Object
	// takes says which facts it is made of, so that others need not be held.
	takes func(domain.Event) bool
}

var results = map[string]result{
	"fees": {
		func(events []*domain.Envelope, scope Scope, parameter func(string) string) Object {
			return Fees(events, scope, domain.Label(parameter("year")), domain.Label(parameter("term")))
		},
		isMoney,
	},
}

// Queries are the names of those whose responses can be calculated.
func Queries() []string { return slices.Sorted(maps.Keys(results)) }

// Takes says whether a query's response is made of events like one.
func Takes(query string, data domain.Event) bool {
	r, ok := results[query]
	return ok && r.takes(data)
}

// Calculate makes the response of a query from the events of a school in the order of the log. It
// returns nil when there is no such calculation.
func Calculate(
	query string, events []*domain.Envelope, scope Scope, parameter func(string) string,
) Object {
	r, ok := results[query]
	if !ok {
		return nil
	}
	return r.of(events, scope, parameter)
}
