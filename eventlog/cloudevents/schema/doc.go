// Package schema describes the catalogue of events to others: as JSON Schema 2020-12, as an
// AsyncAPI 3.0 document and as Markdown. All of it is worked out from the events' structs and from
// watching their validation, so that it cannot say anything else than the code does. A schema takes
// everything that validation takes; what depends on two fields at once only validation finds.
package schema
