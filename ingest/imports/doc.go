// Package imports brings in what another system holds of a school, as a plan: a package of rows is
// compared with the tables at a position of the log, and what differs becomes events.
//
// # What it promises
//
// When a plan has been applied, the directory is as the package says, and what other sources said
// is as it was. The same package then plans nothing; A, B and A again gives A. Nobody is ended
// because a file was cut off, is of another year or has a row that cannot be read, unless somebody
// has agreed to the number.
//
// A crash at any point repeats nothing. The events of a plan are stored before the first is
// written, and their ids are hashes of the package, the school, the base position and the fact:
// applying again writes some of them again, and readers of the log drop these. A plan that was not
// begun is compared with the tables again before it is, so that it never undoes what happened in
// between.
//
// # How data runs through it
//
// [Service.Plan] reads the package (package.go), waits until the tables are at the end of the
// school's log, reads the directory and looks up marks and scores in one snapshot (snapshot.go),
// and compares (plan.go, span.go, facts.go, guard.go): a function of rows, directory and time. The
// plan is stored with the package and the events (store.go). [Service.Apply] compares again and
// writes (apply.go).
//
// Rows are the neutral form (rows.go, docs/IMPORTS.md): converters of other formats, as
// cmd/schoolbell/internal/edfi, make them and know nothing of plans.
//
// # Where to make the first change
//
// Another attribute of a student is a field of [Student], and a line in comparison.student. Another
// kind of row is a case in contents.take and a step of comparison.begin.
package imports
