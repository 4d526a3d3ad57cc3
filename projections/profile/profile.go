// Package profile is the query for one student, which joins several read models. It has no tables;
// each read model exports the function that reads its part, in the transaction of the query.
//
// What a caller may not see of the student is left out here: the first change for another part is a
// field of [Profile], its read model in Reads, and the [access.Fields] that it is among.
package profile

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Queries is that one query.
var Queries = []query.Endpoint{
	query.Query[input, Profile]{
		Name:    "student",
		Path:    "/students/{id}",
		Summary: "One student",
		Description: "The student with guardians, siblings, sections and the staff of the home " +
			"class, as of a day, with " +
			"attendance, averages and the account of fees. Guardians and students see averages " +
			"once the results are published, and of guardians only the names. Teachers see their " +
			"own students, without fees. Accountants see names, classes and fees. The office sees " +
			"all but averages.",
		Reads: []*projections.Projection{
			students.Projection, attendance.Projection, calendar.Projection, performance.Projection,
			fees.Projection,
		},
		TTL:     5 * time.Minute,
		Roles:   []query.Role{query.Admin, query.Office, query.Teacher, query.Accountant},
		ByScope: true,
		Own:     func(in *input) string { return in.StudentID },
		Indexes: []query.Index{
			{Name: "students_pkey", Statement: "students.one", Request: "/students/student-0007"},
			{
				Name: "student_guardians_by_guardian", Statement: "students.siblings",
				Request: "/students/student-0007",
			},
			{
				Name: "assignments_by_class", Statement: "students.staff_of_class",
				Request: "/students/student-0007",
			},
			{
				Name: "attendance_months_pkey", Statement: "attendance.of_students",
				Request: "/students/student-0007",
			},
			{
				Name: "performance_scores_pkey", Statement: "performance.student_scores",
				Request: "/students/student-0007",
			},
			{
				Name: "performance_sheets_by_student", Statement: "performance.sheets",
				Request: "/students/student-0007",
			},
			{
				Name: "fee_invoices_by_student", Statement: "fees.account",
				Request: "/students/student-0007",
			},
		},
		Run: run,
	},
}

// input selects a student.
type input struct {
	StudentID string `path:"id" maxLength:"128"`
	students.On
}

// Profile is one student with all that the caller may see.
type Profile struct {
	students.Student
	Guardians   []students.Contact   `json:"guardians"`
	Siblings    []students.Sibling   `json:"siblings" doc:"Students at the school who share a guardian; for the office and teachers"`
	Sections    []students.ClassOf   `json:"sections" doc:"The classes to which the student belongs besides the home class"`
	Staff       []students.Member    `json:"staff" doc:"Who works with the home class"`
	Attendance  *attendance.Summary  `json:"attendance,omitzero" doc:"Absent for accountants"`
	Performance *performance.Summary `json:"performance,omitzero" doc:"Absent for accountants and the office"`
	Fees        *fees.Account        `json:"fees,omitzero" doc:"Absent for teachers"`
}

func run(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Profile, error) {
	a, on, see := &Profile{}, in.Or(scope.Today), scope.Access.Of(in.StudentID)
	var err error
	if a.Student, err = students.One(ctx, tx, scope.School, in.StudentID, on); err != nil {
		return nil, err
	}
	a.Student.Show(see)
	guardians, err := students.Guardians(ctx, tx, scope.School, []string{in.StudentID}, on)
	if err != nil {
		return nil, err
	}
	a.Guardians = guardians[in.StudentID]
	if !see.Has(access.Contacts) {
		students.HideContacts(a.Guardians)
	}
	if see.Has(access.Siblings) {
		if a.Siblings, err = students.Siblings(ctx, tx, scope, in.StudentID, on); err != nil {
			return nil, err
		}
	}
	if a.Sections, err = students.SectionsOf(ctx, tx, scope.School, in.StudentID, on); err != nil {
		return nil, err
	}
	if a.Staff, err = students.StaffOf(ctx, tx, scope.School, a.ClassID, on); err != nil {
		return nil, err
	}
	if see.Has(access.Attendance) {
		attended, err := attendance.Summarise(ctx, tx, &scope, in.StudentID)
		if err != nil {
			return nil, err
		}
		a.Attendance = attended
	}
	if see.Has(access.Marks) {
		performed, err := performance.Summarise(ctx, tx, scope, in.StudentID,
			!see.Has(access.Drafts))
		if err != nil {
			return nil, err
		}
		a.Performance = &performed
	}
	if see.Has(access.Fees) {
		account, err := fees.AccountOf(ctx, tx, scope, in.StudentID)
		if err != nil {
			return nil, err
		}
		a.Fees = &account
	}
	return a, nil
}
