// Package consumers turns events into deliveries: a text to a guardian, a document, a notice in an inbox.
//
// What it promises: one event causes one delivery for each recipient and kind, for ever, also when the log is replayed
// and whatever crashes in between; and what became of each delivery can be told afterwards, from its cause to its
// receipt.
//
// How an event runs through it:
//
//	log ─▶ router ─▶ planners ─▶ ledger rows + jobs, one transaction ─▶ workers ─▶ providers
//	 ▲                                                                    │
//	 └───────────────────── outcomes: sent, delivered, failed, rendered ◀─┘
//
// The [Planner] of an event is a pure function of the event, of what is [Facts] about its recipients, and of the
// school's [Settings]. The [Engine] waits until the projections stand at the event, reads what the planners ask for in
// one snapshot, and hands the plan to a [Ledger], which keeps it once and has it executed. A [Provider] does one
// delivery and says honestly how it went.
//
// Packages: router brings events from the log by Watermill; ledger keeps deliveries and executes them with River;
// plan holds the planners and their texts; provider the ways to reach people; pdf the documents.
//
// The first change: a new kind of message is a planner in plan with its template; a new way to send one is a folder in
// provider.
package consumers
