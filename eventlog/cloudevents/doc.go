// Package cloudevents is the codec between the three forms in which an event is written down and
// the [domain.Envelope] that the rest of Schoolbell works with:
//
//   - over HTTP, CloudEvents 1.0 in structured, batch and binary mode: [Intake.Parse] and [AppendStructured];
//   - in the log, CloudEvents in Kafka's binary mode: [Decode] and [Encode].
//
// All of them read an event through one decoder, which goes field by field over the struct of the
// event's type and collects everything that is wrong instead of stopping at the first fault. A
// field without omitzero must be present. At the intake, members that the type does not have are
// faults; from the log they are tolerated, so that a newer producer does not stop an older reader.
//
// # Where a fault is
//
// A fault has a JSON pointer from the root of its event in structured form, also when the event
// came in another form: "/id" is the attribute id, be it a member, a header ce-id or a record's
// ce_id, and "/data/student_id" is a member of the data. "" is the event as a whole. In a batch
// each fault also has the event's index.
//
// # Attributes
//
// In addition to the attributes of CloudEvents, Schoolbell has the extensions school, causationid,
// correlationid, actor, traceparent and tracestate, and of its own authsub and authjti, which are
// refused from producers. Other extensions with a well-formed name may be sent; they are not stored.
package cloudevents
