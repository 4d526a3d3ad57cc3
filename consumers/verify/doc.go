// Package verify recomputes the plans of all events from the log and compares them with the ledger.
//
// It promises to find a delivery that is missing, surplus or different from what its event leads
// to. That is worth something only because the facts are computed a second time: [History] folds
// the events in memory and shares no code with the projections, whose tables the plans were made
// from. So a mistake in either of them shows up as a finding.
//
// One partition after the other is read from its beginning. Each event is added to the history and
// planned with the facts of the moment at which it was planned before: its own position or, when
// the planners had fallen behind, a later one that the ledger recorded.
//
// The first change: a new kind of fact is a member of consumers.Lookups, a case in history.go that
// folds it, and a function in lookups.go that reads it.
package verify
