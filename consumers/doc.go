// Package consumers turns events into deliveries: a text to a guardian, a document, a notice in an
// inbox.
//
// What it promises: one event leads to one delivery for each recipient and kind, even when the log
// is replayed and whatever crashes in between; and what became of each delivery can be traced
// afterwards, from its cause to its receipt.
//
// How an event runs through it:
//
//	log ─▶ router ─▶ planners ─▶ ledger rows + jobs, one transaction ─▶ workers ─▶ providers
//	 ▲                                                                    │
//	 └───────────────────── outcomes: sent, delivered, failed, rendered ◀─┘
//
// A [Planner] is a pure function of the event, of the [Facts] about its recipients, and of the
// school's [Settings]. The [Engine] waits until the projections have reached the event, reads the
// facts that the planners look up in one snapshot, and hands the plan to a [Ledger], which stores
// it once and has it executed. A [Provider] does one delivery and says honestly how it went.
//
// Packages: router brings events from the log by Watermill; ledger stores deliveries and executes
// them with River; plan holds the planners and their texts; provider the ways to reach people; pdf
// the documents; verify recomputes all plans from the log and compares them with the ledger.
//
// The first change: a new kind of message is a planner in plan with its template; a fact that it
// needs and that there is not yet is a member of [Lookups]; a new way to send is a folder in
// provider.
package consumers
