// Package edfi reads Ed-Fi XML interchange files, as student information systems export them, and
// turns them into Schoolbell's events.
//
// # How data runs through it
//
// [Open] reads all files of a directory once and indexes what the events refer to: schools and
// their grades, sessions, courses, contacts, staff, and the evidence for each student's school.
// [Import.Events] reads them a second time and makes the events while it reads. Both passes stream:
// only the indexes are in memory, never a file. Because everything is read before the first event
// is made, a malformed file stops the import before it has begun.
//
// # Importing twice
//
// The id of an event is a hash of its content, and its source is always [Source]. The same files
// therefore give the same ids, which the log drops as duplicates, while a record that has changed
// gives a new event that replaces the earlier fact (there is one mark for a student, day and
// session, one score for a student and assessment, and so on).
//
// One case remains: a record that is changed, imported, changed back and imported again has the
// content and so the id of the first event, and is dropped while that one is in the log's duplicate
// window. The change in between stays. An event with an id of its own, for example an
// attendance.corrected, sets it right.
//
// # What is decided here
//
//   - Tenant: the SchoolId. Every event goes to the school that its record names.
//   - School of a student: those that an enrolment names; if there is none, those of the attendance
//     and gradebook records; if there is none either, the only school with the grade level at which
//     the student was assessed; finally the school of most students born in the same calendar year.
//     The report counts each way, so that a school can judge what was inferred. A student with no
//     evidence is reported and left out.
//   - Class of a student: the section of the gradebook, else the assessed or enrolled grade level
//     ("grade-11"), else "unassigned". Grades are never inferred from age.
//   - Attendance: see [attendanceStatus]. Ed-Fi attendance is negative: it holds absences and late
//     arrivals only. No marks of presence are invented, so a rate over imported marks alone means
//     nothing.
//   - Scores: see [publishedMaxima]. A score without a known maximum is reported and left out.
//   - Time: events carry the date of their record, at noon UTC where the record has no time of day.
//
// Names, phone numbers and addresses that the API would refuse are repaired rather than dropped,
// and the report counts the repairs. Samples in the report name records, never their content.
//
// # First change
//
// To import another kind of record, add a case to [Import.convert] and, when other records refer to
// it, to [directory.index].
package edfi
