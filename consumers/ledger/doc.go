// Package ledger stores deliveries in PostgreSQL and executes them with River.
//
// What it promises:
//
//   - A delivery and its job are written in one transaction, once ([Ledger.Commit]); planning again
//     changes nothing.
//   - Before a provider is called, the ledger says so: the delivery is Sending. A worker that dies
//     leaves that trace, and the next one knows that the provider may have done the delivery: it
//     sends again only when the provider recognises repetitions, looks up the status when the
//     provider can be queried, and otherwise leaves the delivery Unknown for a report or an
//     operator. What a provider does not have when it is queried counts as not sent only some time
//     after the last request ([consumers.Abilities].Settle).
//   - A result counts only for the latest start of its delivery (the fence), or as evidence about
//     one that is unknown.
//   - What became of a delivery is appended to the log as an event. It is written in the transaction
//     of the change and relayed afterwards, so none is lost, and its id follows from the delivery,
//     so none counts twice.
//   - An overdue fee leads to reminders on its days, by the school's clock, and each reminder is one
//     event in the log: every process looks, and a reminder is counted in the transaction that puts
//     it into the outbox (remind.go).
//
// How data runs through it: Commit inserts rows and jobs (commit.go); River hands a job to a
// worker, which starts the delivery (start.go), calls the provider and records the result (work.go,
// finish.go); the outcome waits in the outbox for the relay (outbox.go). Later reports of providers
// arrive in Receive (report.go), prices that they set later are looked up (prices.go), the commands
// of operators are in command.go.
//
// How it is fast: what many workers want from the database at the same moment goes there together
// (batch.go).
//
// How it is fair: jobs of a queue and priority are fetched in the order of their scheduled_at,
// which for jobs that are due says nothing about time. It is a position in a line in which schools
// take turns (fairqueue.go).
//
// The first change: what happens after a provider's response is decided in attempt, in work.go.
package ledger
