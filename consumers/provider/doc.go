// Package provider is what the ways to reach people share: how a message is written for a delivery, and what the answer
// of an HTTP service, or none, means for it. The ways themselves are folders:
//
//	twilio   SMS, by any service that speaks Twilio's HTTP interface
//	smtp     e-mail
//	webpush  notices in browsers and telephones (RFC 8030, 8291, 8292)
//	inbox    what users read in the application
//	outbox   for development: deliveries are kept to be looked at, and go nowhere
//	budget   keeps the SMS of a school within its monthly budget
//	faulty   services that fail in every way, for tests
//
// A provider never sends twice by itself: whether it is asked again is decided by whoever calls it, from the class of the
// error and from its abilities. So it must be honest about what it does not know. "It may have been done" is the answer
// whenever the request went out and no answer that can be trusted came in.
package provider
