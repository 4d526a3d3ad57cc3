// Package simulate makes up school years: who is enrolled, who is absent, which assessments there
// are and with what scores, which fees are charged and when they are paid. It feeds demonstrations,
// load tests and benchmarks.
//
// # Credible
//
// Absence has seasons (a winter wave that reaches each school at its own time), Mondays and
// Fridays, individual inclinations and illnesses that last for days; some absences are excused a
// day later. Scores come from a student's ability and aptitude for a subject, and grow over the
// terms. Families pay promptly, in instalments, late or never, by the means of their country; some
// payments bounce. Names and telephone numbers are of several cultures and scripts.
//
// The directory is that of a real school: home classes and, across them, sections of electives with
// teachers of their own; guardians with children in several classes. In the course of the year a
// teacher leaves and is succeeded, a student changes to another home class, and a guardian loses the
// rights about a student.
//
// # The same for the same seed
//
// Each school has random numbers of its own, seeded with the seed and the school's index. A
// school's events therefore do not depend on how many other schools there are, nor on which process
// runs which school; and a shorter year is a prefix of a longer one. Ids are made from what the
// event is about.
//
// # Where to make the first change
//
// [School] runs through the days of a year; each of the other files adds one part of school life to
// a day.
package simulate
