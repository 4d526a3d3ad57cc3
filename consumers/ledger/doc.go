// Package ledger keeps deliveries in PostgreSQL and executes them with River.
//
// What it promises:
//
//   - A delivery and its job are written in one transaction, once ([Ledger.Commit]); planning again changes nothing.
//   - Before a provider is asked, the ledger says so ([Sending]). A worker that dies leaves that trace, and the next one
//     knows that the provider may have done it: it asks again only when the provider recognises repetitions, asks for the
//     status when it can tell, and else leaves the delivery [Unknown] for a report or an operator.
//   - An answer counts only for the latest start of its delivery, or as evidence about one that is unknown.
//   - What became of a delivery is appended to the log as an event. It is written with the change itself and relayed
//     afterwards, so none is lost, and its id follows from the delivery, so none counts twice.
//   - An overdue fee is reminded of on its days, by the school's clock, and each reminder is one event in the log: River's
//     leader has one process look, and a reminder is counted in the transaction that puts it into the outbox (remind.go).
//
// How it gets fast: what many workers want of the database at the same moment goes there together (batch.go).
//
// How it stays fair: jobs of a queue and priority are fetched in the order of their scheduled_at, which for jobs that
// are due says nothing about time. It is the place in a line in which schools take turns (turns.go).
package ledger
