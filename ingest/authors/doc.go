// Package authors says who wrote an event. At the door every event gets the subject of its writer's
// token as a keyed hash of the school, since the log is there for ever and a subject may be an e-mail
// address; the table actors says whom a hash stands for, and its rows can be deleted.
//
// A writer's row is stored before the first event, unless PostgreSQL is away: then events are taken
// all the same, and the row follows. The first change: what a writer is identified by is in [Token].
package authors
