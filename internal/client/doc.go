// Package client speaks to Schoolbell over HTTP, for the commands that publish or read events.
//
// [Client.Publish] sends one batch, [Client.Stream] any number of events of any number of schools, and [Client.Events] reads
// a school's log. What fails for a while (no connection, 429, 502, 503, 504) is tried again with growing, random pauses, and
// not before the server's Retry-After. Trying again is safe: an event that was written although its answer was lost has the same
// source and id the second time, and the log drops it. What the server refuses comes back as a [*Problem].
package client
