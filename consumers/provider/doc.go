// Package provider holds what the ways to reach people have in common: how the message of a
// delivery is written, and what a response of an HTTP service, or none, means for it. The providers
// are its subpackages:
//
//	twilio   SMS, by any service that speaks Twilio's HTTP interface
//	smtp     e-mail
//	webpush  notifications in browsers and phones (RFC 8030, 8291, 8292)
//	inbox    messages that users read in the application
//	outbox   for development: deliveries are stored for inspection and sent to no one
//	budget   limits the SMS of a school to its monthly budget
//	faulty   services that fail in every way, for tests
//
// A provider never retries by itself: its caller decides that from the class of the error and from
// the provider's abilities. So a provider must be honest about what it does not know. "It may have
// been done" is the result whenever the request went out and no trustworthy response came back.
//
// The first change: a new service is a package here that implements [consumers.Provider]; its test
// runs providertest.ErrorClasses against a server of package faulty.
package provider
