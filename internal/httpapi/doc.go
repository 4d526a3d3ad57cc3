// Package httpapi is Schoolbell over HTTP: events come in, the log and the read models' answers go out, and operators
// look at how the process is doing, on a port of its own.
//
// A request passes through, from the outside in: [observe] (request id, metrics, access log, panics), the security
// headers, CORS, compression, and then its route. Each route under /v1/schools/{school} says what it needs and goes
// through [API.admit] before anything else happens, so that no token reaches another school. A read model's queries are
// not written here: they are declared beside their tables (package projections/query) and mounted all alike.
//
// Everything that goes wrong is answered with a [Problem] (RFC 9457), which names the fault and says nothing about our
// insides; the cause is in the access log under the same request id.
package httpapi
