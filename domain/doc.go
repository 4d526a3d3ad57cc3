// Package domain holds what Schoolbell is about: events that happened at a school, the positions
// they have in the log, and the rooms that they are delivered to. It imports the standard library
// only, does no I/O and takes no context, so that a fold over it can only be a function of the log.
//
// An event is a plain struct in the package of its context (domain/attendance, domain/fee, …) that
// implements [Event]. It travels inside an [Envelope]. Package domain/catalog lists every event by
// its wire name.
//
// To add an event: write the struct in its context with Subject, Rooms, SeenBy and Validate, add a
// line to the context's Facts, and put a golden, a whole structured CloudEvent, into the context's
// testdata as <fact>.v<n>.json. Schemas, AsyncAPI, documentation, the student's timeline and the
// data of the tests follow from it. A new context is a package next to the others and a line in
// domain/catalog.
package domain
