// Package edfi reads Ed-Fi XML interchange files, as student information systems export them, and
// turns them into packages of rows, one for each school, which imports compare with the tables
// (package ingest/imports).
//
// # How data runs through it
//
// [Open] reads all files of a directory once and indexes what the rows refer to: schools and their
// grades, sessions, courses, sections, contacts, staff, and the evidence for each student's school.
// [Import.Rows] reads them a second time and makes the rows while it reads; [Import.Packages]
// writes them down. Both passes stream: only the indexes are in memory, never a file. Because
// everything is read before the first plan is made, a malformed file stops the import before it has
// begun.
//
// # What is decided here
//
//   - Names of Ed-Fi 3.x and 4.x are those of 5.x by another name: see [renamed].
//   - Tenant: the SchoolId. Every row goes to the school that its record names; a record that cannot
//     be read and names none may be of any school, and is in each package.
//   - School of a student: those that an enrolment names; if there is none, those of sections; then
//     of the attendance and gradebook records; if there is none either, the only school with the
//     grade level at which the student was assessed; finally the school of most students born in
//     the same calendar year. The report counts each way, so that a school can judge what was
//     inferred. A student with no evidence is refused.
//   - Home class of a student: the homeroom where a section is marked as one, else the assessed or
//     enrolled grade level ("grade-11"), else "unassigned". Grades are never inferred from age.
//   - Sections: whatever names one. A grade in the gradebook puts a student into its section where
//     no record does.
//   - Calendar: the sessions of a year are its terms, with the days of school that they name; single
//     dates are what their events say. Of sessions that overlap as many as can be are taken.
//   - Attendance: see [attendanceStatus]. Ed-Fi attendance is negative: it holds absences and late
//     arrivals only. No marks of presence are invented: a day of school without a mark means present
//     in the mode "exceptions".
//   - Scores: see [publishedMaxima]. A score without a known maximum is reported and left out.
//   - Time: rows carry the date of their record, at noon UTC where it has no time of day.
//
// Names, phone numbers and addresses that the API would refuse are repaired rather than dropped,
// and the report counts the repairs. Reports name records by file, line and column, never by their
// content: they are mailed and filed, and what is in the records is personal.
//
// # First change
//
// To import another kind of record, add a case to [Import.convert] and, when other records refer to
// it, to [directory.index].
package edfi
