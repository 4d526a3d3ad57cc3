package knowledge

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
)

// asked makes rows of the questions' columns.
const asked = `unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
	WITH ORDINALITY AS q (school, id, class_id, year, term, since, until, n)`

const studentColumns = `s.student_id, s.given_name, s.family_name, s.class_id, s.grade_level, s.birth_date, s.status = 'enrolled',
	CASE WHEN s.status <> 'enrolled' THEN s.withdrawn_on END`

var answers = map[consumers.QuestionKind]answer{
	consumers.AskStudent: one(`SELECT q.n, `+studentColumns+` FROM `+asked+`
		JOIN schoolbell.students s ON s.school = q.school AND s.student_id = q.id`, scanStudent),
	consumers.AskGuardians: many(`
		SELECT q.n, g.guardian_id, g.name, g.phone, g.email, g.language, l.relation, l.is_primary FROM `+asked+`
		JOIN schoolbell.student_guardians l ON l.school = q.school AND l.student_id = q.id
		JOIN schoolbell.guardians g ON g.school = q.school AND g.guardian_id = l.guardian_id
		ORDER BY q.n, l.is_primary DESC, g.guardian_id`, scanGuardian),
	consumers.AskGuardian: one(`SELECT q.n, g.guardian_id, g.name, g.phone, g.email, g.language, '', false FROM `+asked+`
		JOIN schoolbell.guardians g ON g.school = q.school AND g.guardian_id = q.id`, scanGuardian),
	consumers.AskClass: many(`SELECT q.n, `+studentColumns+` FROM `+asked+`
		JOIN schoolbell.students s ON s.school = q.school AND s.class_id = q.id AND s.status = 'enrolled'
		ORDER BY q.n, s.student_id`, scanStudent),
	consumers.AskClasses: many(`SELECT q.n, c.class_id FROM `+asked+`
		JOIN schoolbell.classes c ON c.school = q.school AND c.enrolled > 0
		ORDER BY q.n, c.class_id`, func(row pgx.CollectableRow) (id string, err error) {
		return id, row.Scan(&id)
	}),
	consumers.AskStaff: many(`SELECT q.n, s.staff_id, s.name, s.role, s.class_ids FROM `+asked+`
		JOIN schoolbell.staff s ON s.school = q.school
		ORDER BY q.n, s.staff_id`, func(row pgx.CollectableRow) (s consumers.Staff, err error) {
		return s, row.Scan(&s.ID, &s.Name, &s.Role, &s.ClassIDs)
	}),
	consumers.AskInvoice: one(`
		SELECT q.n, i.invoice_id, i.student_id, i.category, i.currency, i.year, i.term, i.amount, i.waived, i.open_amount, i.due_on
		FROM `+asked+` JOIN schoolbell.fee_invoices i ON i.school = q.school AND i.invoice_id = q.id`, scanInvoice),
	consumers.AskPayment: one(`
		SELECT q.n, p.payment_id, p.invoice_id, p.student_id, p.currency, p.method, p.amount, p.reversal <> '{}', p.received_at
		FROM `+asked+` JOIN schoolbell.fee_payments p ON p.school = q.school AND p.payment_id = q.id`, scanPayment),
	consumers.AskAccount: many(`WITH q AS MATERIALIZED (SELECT * FROM `+asked+`),
		invoices AS MATERIALIZED (
			SELECT q.n, i.* FROM q JOIN schoolbell.fee_invoices i ON i.school = q.school AND i.student_id = q.id WHERE i.amount > 0
		),
		payments AS MATERIALIZED (
			SELECT q.n, p.*, coalesce(i.category, '') AS category, coalesce(i.year, '') AS year, coalesce(i.term, '') AS term
			FROM q JOIN schoolbell.fee_payments p ON p.school = q.school AND p.student_id = q.id
			LEFT JOIN schoolbell.fee_invoices i ON i.school = p.school AND i.invoice_id = p.invoice_id WHERE p.amount > 0
		)
		SELECT n, 'invoice', position, invoiced_at AS at, invoice_id, '', category, currency, '', '', year, term, amount, due_on FROM invoices
		UNION ALL
		SELECT n, 'payment', position, received_at, invoice_id, payment_id, category, currency, method, '', year, term, amount, NULL FROM payments
		UNION ALL
		SELECT n, 'reversal', coalesce((reversal ->> 'position')::bigint, 0), (reversal ->> 'time')::timestamptz, invoice_id, payment_id,
			category, currency, method, reversal ->> 'reason', year, term, amount, NULL FROM payments WHERE reversal <> '{}'
		UNION ALL
		SELECT n, 'waiver', (w ->> 'position')::bigint, (w ->> 'time')::timestamptz, invoice_id, '', category, currency, '', w ->> 'reason',
			year, term, (w ->> 'amount')::bigint, NULL FROM invoices, jsonb_array_elements(waivers) w
		ORDER BY n, position`, scanMovement),
	consumers.AskAttendance: one(`SELECT q.n, a.present, a.late, a.absent_excused, a.absent_unexcused FROM `+asked+`
		JOIN schoolbell.attendance_students a ON a.school = q.school AND a.student_id = q.id`, scanAttendance),
	consumers.AskAttendanceWithin: one(`
		SELECT q.n, count(*) FILTER (WHERE k.status = 'present'), count(*) FILTER (WHERE k.status = 'late'),
			count(*) FILTER (WHERE k.status = 'absent_excused'), count(*) FILTER (WHERE k.status = 'absent_unexcused')
		FROM `+asked+` CROSS JOIN generate_series(date_trunc('month', q.since::timestamp), q.until::timestamp, interval '1 month') AS first
		JOIN schoolbell.attendance_months m ON m.school = q.school AND m.month = first::date AND m.student_id = q.id
		CROSS JOIN schoolbell.marks_of(m.month, m.marks) k
		WHERE k.date BETWEEN q.since::date AND q.until::date
		GROUP BY q.n`, scanAttendance),
	consumers.AskScores: many(`
		SELECT q.n, s.assessment_id, s.subject, coalesce(a.title, ''), a.held_on, s.scored_at, s.score, s.max_score FROM `+asked+`
		JOIN schoolbell.performance_scores s ON s.school = q.school AND s.student_id = q.id AND s.year = q.year AND s.term = q.term
			AND s.max_score > 0 -- not so in rows from before it was kept
		LEFT JOIN schoolbell.assessments a ON a.school = s.school AND a.assessment_id = s.assessment_id
		ORDER BY q.n, s.subject, s.assessment_id`, scanScore),
	consumers.AskRemarks: many(`SELECT q.n, r.subject, r.text FROM `+asked+`
		JOIN schoolbell.performance_remarks r ON r.school = q.school AND r.student_id = q.id AND r.year = q.year AND r.term = q.term
		ORDER BY q.n, r.subject`, func(row pgx.CollectableRow) (r consumers.Remark, err error) {
		return r, row.Scan(&r.Subject, &r.Text)
	}),
	consumers.AskAverages: many(`SELECT q.n, g.subject, g.points::float8 / 100 / g.scores, g.scores FROM `+asked+`
		JOIN schoolbell.performance_groups g ON g.school = q.school AND g.year = q.year AND g.term = q.term AND g.class_id = q.class_id
		ORDER BY q.n, g.subject`, func(row pgx.CollectableRow) (a consumers.Average, err error) {
		return a, row.Scan(&a.Subject, &a.Percent, &a.Scores)
	}),
	// A class is ranked once for all of its students that are asked about.
	consumers.AskRank: one(`
		WITH q AS MATERIALIZED (SELECT * FROM `+asked+`),
		ranked AS (
			SELECT c.school, c.year, c.term, c.class_id, p.student_id,
				rank() OVER (PARTITION BY c.school, c.year, c.term, c.class_id ORDER BY sum(p.points)::numeric / sum(p.scores) DESC) AS place,
				count(*) OVER (PARTITION BY c.school, c.year, c.term, c.class_id) AS others
			FROM (SELECT DISTINCT school, year, term, class_id FROM q) c
			JOIN schoolbell.performance_students p USING (school, year, term, class_id)
			GROUP BY c.school, c.year, c.term, c.class_id, p.student_id
		)
		SELECT q.n, r.place, r.others FROM q
		JOIN ranked r ON r.school = q.school AND r.year = q.year AND r.term = q.term AND r.class_id = q.class_id AND r.student_id = q.id`,
		func(row pgx.CollectableRow) (r consumers.Rank, err error) {
			return r, row.Scan(&r.Place, &r.Of)
		}),
	consumers.AskPublished: many(`SELECT q.n, p.term, p.published_at FROM `+asked+`
		JOIN schoolbell.results_published p ON p.school = q.school AND p.class_id = q.class_id AND p.year = q.year
		ORDER BY q.n, p.published_at, p.term`, func(row pgx.CollectableRow) (p consumers.Published, err error) {
		err = row.Scan(&p.Term, &p.At)
		p.At = p.At.UTC()
		return p, err
	}),
}

// one is the answer to a question that has at most one row.
func one[T any](sql string, scan func(pgx.CollectableRow) (T, error)) answer {
	var nothing T
	return answer{nothing: nothing, sql: sql, row: func(q *consumers.Question, row pgx.CollectableRow) error {
		v, err := scan(row)
		q.Answer = v
		return err
	}}
}

// many is the answer to a question that has any number of rows.
func many[T any](sql string, scan func(pgx.CollectableRow) (T, error)) answer {
	return answer{nothing: []T(nil), sql: sql, row: func(q *consumers.Question, row pgx.CollectableRow) error {
		v, err := scan(row)
		q.Answer = append(q.Answer.([]T), v)
		return err
	}}
}

func scanStudent(row pgx.CollectableRow) (s consumers.Student, err error) {
	var born, left *time.Time
	err = row.Scan(&s.ID, &s.GivenName, &s.FamilyName, &s.ClassID, &s.GradeLevel, &born, &s.Enrolled, &left)
	s.BirthDate, s.LeftOn = date(born), date(left)
	return s, err
}

func scanGuardian(row pgx.CollectableRow) (g consumers.Guardian, err error) {
	return g, row.Scan(&g.ID, &g.Name, &g.Phone, &g.Email, &g.Language, &g.Relation, &g.Primary)
}

func scanInvoice(row pgx.CollectableRow) (i consumers.Invoice, err error) {
	var due *time.Time
	err = row.Scan(&i.ID, &i.StudentID, &i.Category, &i.Currency, &i.Year, &i.Term, &i.Amount, &i.Waived, &i.Open, &due)
	i.DueOn = date(due)
	return i, err
}

func scanPayment(row pgx.CollectableRow) (p consumers.Payment, err error) {
	var received *time.Time
	err = row.Scan(&p.ID, &p.InvoiceID, &p.StudentID, &p.Currency, &p.Method, &p.Amount, &p.Reversed, &received)
	p.ReceivedAt = instant(received)
	return p, err
}

func scanMovement(row pgx.CollectableRow) (m consumers.Movement, err error) {
	var at, due *time.Time
	err = row.Scan(&m.Kind, &m.Position, &at, &m.InvoiceID, &m.PaymentID, &m.Category, &m.Currency, &m.Method, &m.Reason,
		&m.Year, &m.Term, &m.Amount, &due)
	m.At, m.DueOn = instant(at), date(due)
	return m, err
}

func scanAttendance(row pgx.CollectableRow) (a consumers.Attendance, err error) {
	return a, row.Scan(&a.Present, &a.Late, &a.AbsentExcused, &a.AbsentUnexcused)
}

func scanScore(row pgx.CollectableRow) (s consumers.Score, err error) {
	var on, at *time.Time
	err = row.Scan(&s.AssessmentID, &s.Subject, &s.Title, &on, &at, &s.Score, &s.MaxScore)
	s.On, s.At = date(on), instant(at)
	return s, err
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func date(t *time.Time) domain.Date {
	if t == nil {
		return 0
	}
	return domain.DateOf(*t)
}
