// Package client calls Schoolbell over HTTP, for commands that publish or read events, or manage
// deliveries.
//
// [Client.Publish] sends one batch, [Client.Stream] any number of events of any number of schools,
// and [Client.Events] reads a school's log. Other routes are reached with [Client.Get],
// [Client.Post], [Client.Put] and [Client.Delete].
//
// A request that fails temporarily (no connection, 429, 502, 503, 504) is retried with growing,
// random pauses, and not before the server's Retry-After. Retrying a publication is safe: an event
// that was written although its response was lost has the same source and id, so the log's readers
// drop the duplicate. A refusal is returned as a [*Problem].
//
// To support a new route, add a method to client.go on top of do, which retries.
package client
