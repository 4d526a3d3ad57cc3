// Package httpapi is Schoolbell over HTTP: it takes events, serves the log and the results of read
// models, and lets administrators and operators look at deliveries and decide about them.
//
// A request passes, from the outside in: [observe] (request id, metrics, access log, panics), the
// security headers, CORS, compression, and then its route. A route under /v1/schools/{school}
// declares what its caller needs and goes through [API.admit] before anything else happens, so that
// no token reaches another school. Routes under /v1/operations concern all schools and go through
// [API.admitOperator].
//
// A read model's queries are not written here: they are declared next to their tables (package
// projections/query) and all mounted the same way, so validation, caching and read-your-writes are
// one piece of code ([API.serveQuery]).
//
// Whatever goes wrong becomes a [Problem] (RFC 9457), which names the fault and reveals nothing
// internal. The cause is in the access log under the same request id.
//
// To add a route that is not a query, start from [handle] in school.go (huma reads the body) or
// [API.route] in documents.go (the route reads it itself); describe it there, then renew
// testdata/openapi.json.
package httpapi
