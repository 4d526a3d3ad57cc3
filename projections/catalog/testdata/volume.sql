-- Twenty schools with 500 students each in 20 classes: six weeks of attendance, two years of marks and three of fees.
SET LOCAL search_path = schoolbell, public;
SET LOCAL synchronous_commit = off;

CREATE TEMP TABLE pupils ON COMMIT DROP AS
SELECT format('school-%s', lpad(s::text, 2, '0')) AS school, format('student-%s', lpad(n::text, 4, '0')) AS student_id, s, n,
	format('class-%s', lpad((n % 20)::text, 2, '0')) AS class_id,
	(ARRAY['Ada','Bela','Chidi','Dana','Elif','Femi','Gita','Hugo','Ines','Jonas','Kofi','Lena','Mirza','Noor','Olga','Pavel','Quinn','Rosa','Sven','Tarek','Uma','Vera','Wei','Xenia','Yara','Zoltan'])[1 + (n * 7 + s) % 26] AS given,
	(ARRAY['Adeyemi','Baptiste','Castellano','Dlamini','Eriksson','Fernandez','Grunwald','Hashimoto','Ivanov','Jankowski','Kovacs','Lindqvist','Mbeki','Nakamura','Okonkwo','Petrov','Quispe','Rodriguez','Schneider','Tanaka','Ueda','Vasquez','Wojcik','Xu','Yilmaz','Zielinska'])[1 + (n * 11 + n / 26 + s) % 26]
		|| (ARRAY['','-Moreau','-Nwosu','-Ortega','-Silva'])[1 + n % 5] AS family
FROM generate_series(1, 20) s, generate_series(1, 500) n;

-- One in twenty-five has left.
INSERT INTO students (school, student_id, given_name, family_name, sort_name, search_name, birth_date, class_id, grade_level,
	photo_url, first_on, left_on)
SELECT school, student_id, given, family, lower(family || ' ' || given),
	lower(replace(family, '-', '') || ' ' || given || ' ' || student_id), DATE '2012-01-01' + n, class_id, (5 + n % 20 / 4)::text, '',
	DATE '2025-08-01', CASE WHEN n % 25 = 0 THEN DATE '2026-02-01' END
FROM pupils;

INSERT INTO enrolments
SELECT school, student_id, DATE '2025-08-01', CASE WHEN n % 25 = 0 THEN DATE '2026-02-01' END, class_id, DATE '2025-08-01',
	CASE WHEN n % 25 = 0 THEN DATE '2026-02-01' END, '/sis'
FROM pupils;

-- Each school has 20 home classes and 60 sections, of which a student has six.
INSERT INTO classes
SELECT school, class_id, 'Class ' || class_id, 'home', '', '[]', '["7"]', '2026-2027', '[]', '', lower('Class ' || class_id), NULL, '/sis'
FROM (SELECT DISTINCT school, class_id FROM pupils) p;

INSERT INTO classes
SELECT format('school-%s', lpad(s::text, 2, '0')), format('section-%s', lpad(n::text, 2, '0')), 'Section ' || n, 'section', 'Maths', '["maths"]',
	'["7"]', '2026-2027', '[]', '', 'section ' || n || ' maths', NULL, '/sis'
FROM generate_series(1, 20) s, generate_series(0, 59) n;

INSERT INTO memberships
SELECT school, format('%s-%s', student_id, i), DATE '2025-08-01', NULL, format('section-%s', lpad(((n * 7 + i * 10) % 60)::text, 2, '0')),
	student_id, 'student', false, '/sis'
FROM pupils, generate_series(0, 5) i;

INSERT INTO memberships
SELECT format('school-%s', lpad(s::text, 2, '0')), format('teaches-%s', n), DATE '2025-08-01', NULL, format('section-%s', lpad(n::text, 2, '0')),
	format('staff-%s', 1 + n), 'teacher', true, '/sis'
FROM generate_series(1, 20) s, generate_series(0, 59) n;

INSERT INTO school_profiles SELECT DISTINCT school, 'School', '', '', '', '/sis' FROM pupils;
INSERT INTO school_profiles SELECT format('other-%s', n), 'School', '', '', '', '/sis' FROM generate_series(1, 2000) n;

INSERT INTO guardians (school, guardian_id, name, phone, email, language)
SELECT DISTINCT school, format('guardian-%s', n * 3 / 4), 'Guardian ' || family, '+49 30 123456', 'g@example.org', 'de'
FROM (SELECT DISTINCT ON (school, n * 3 / 4) * FROM pupils) p;

INSERT INTO student_guardians (school, student_id, guardian_id, relation, is_primary)
SELECT school, student_id, format('guardian-%s', n * 3 / 4), 'mother', true FROM pupils;

INSERT INTO staff (school, staff_id, name, role, subjects)
SELECT format('school-%s', lpad(s::text, 2, '0')), format('staff-%s', n), 'Member ' || n, 'teacher', '["maths"]'
FROM generate_series(1, 20) s, generate_series(1, 60) n;

INSERT INTO assignments
SELECT school, staff_id, DATE '2025-08-01', NULL,
	jsonb_build_array(format('class-%s', lpad((n % 20)::text, 2, '0')), format('class-%s', lpad((n * 7 % 20)::text, 2, '0'))), '/sis'
FROM (SELECT school, staff_id, substr(staff_id, 7)::int AS n FROM staff) s;

-- One in fifteen is away, those whose number ends in 7 more often. Each day is marked twice: by the home class, and in
-- the third period by a section.
CREATE TEMP TABLE marks AS
SELECT school, day AS date, student_id, class_id, format('section-%s', lpad((n * 7 % 60)::text, 2, '0')) AS section,
	CASE WHEN (n * 31 + day_number * 17) % 15 = 0 OR (n % 10 = 7 AND (n + day_number) % 6 = 0) THEN 'absent_excused'
		WHEN (n * 13 + day_number * 7) % 40 = 0 THEN 'late' ELSE 'present' END AS status
FROM (SELECT DATE '2026-09-01' + d AS day, d AS day_number FROM generate_series(0, 41) d WHERE d % 7 < 5) days, pupils;

INSERT INTO attendance_months
SELECT school, date_trunc('month', date), student_id,
	coalesce(string_agg(entry, '' ORDER BY date) FILTER (WHERE status = 'absent_excused'), '') || E'\n' ||
	coalesce(string_agg(entry, '' ORDER BY date) FILTER (WHERE status <> 'absent_excused'), ''),
	coalesce(string_agg(to_char(date, 'DD') || E'day\till\n', '' ORDER BY date) FILTER (WHERE status = 'absent_excused'), '')
FROM (SELECT *, format(E'=%s\t%sday\t=%s\t%sp3\t', class_id, mark, section, mark) AS entry FROM (
	SELECT *, to_char(date, 'DD') || CASE status WHEN 'present' THEN 'P' WHEN 'late' THEN 'L' ELSE 'E' END AS mark FROM marks) m) n
GROUP BY school, date_trunc('month', date), student_id;

-- Thirty years of two terms, with a week of holidays in each.
INSERT INTO calendar_years
SELECT school, format('%s-%s', y, y + 1), make_date(y, 9, 1), make_date(y + 1, 7, 31), format(
	'[{"term":"1","from":"%s-09-01","to":"%s-12-18"},{"term":"2","from":"%s-01-04","to":"%s-06-30"}]', y, y, y + 1, y + 1)::jsonb,
	0, '/sis', ''
FROM (SELECT DISTINCT school FROM pupils) p, generate_series(1997, 2026) y;

INSERT INTO calendar_days
SELECT school, d::date, '', 'holiday', '', 0, '/sis', ''
FROM (SELECT DISTINCT school FROM pupils) p, generate_series(1997, 2026) y,
	generate_series(make_date(y, 10, 24), make_date(y, 11, 1), interval '1 day') d;

INSERT INTO attendance_days
SELECT school, date, class_id, count(*) FILTER (WHERE status = 'present'), count(*) FILTER (WHERE status = 'late'),
	count(*) FILTER (WHERE status = 'absent_excused'), 0
FROM (SELECT school, date, class_id, status FROM marks UNION ALL SELECT school, date, section, status FROM marks) m
GROUP BY school, date, class_id;

INSERT INTO timeline
SELECT school, student_id, row_number() OVER (PARTITION BY school ORDER BY date, student_id), 'attendance.marked', date,
	format('{"date":"%s","session":"day","status":"%s","class_id":"%s"}', date, status, class_id)
FROM marks;

INSERT INTO performance_scores (school, student_id, assessment_id, year, term, class_id, subject, entry)
SELECT school, student_id, id, year, term, class_id, subject,
	format(E'%s\t\t\t\t740000\t%s/100\n', id, 20 + (n * 37 + ascii(subject) * 101) % 80)
FROM pupils, unnest(ARRAY['2025-2026', '2026-2027']) year, unnest(ARRAY['autumn', 'spring']) term,
	unnest(ARRAY['art', 'biology', 'english', 'maths', 'physics']) subject, format('%s-%s-%s', year, term, subject) id;

INSERT INTO performance_sheets
SELECT school, year, term, class_id, subject, student_id, string_agg(entry, '' ORDER BY assessment_id)
FROM performance_scores GROUP BY school, year, term, class_id, subject, student_id;

INSERT INTO assessments
SELECT DISTINCT ON (school, assessment_id, class_id) school, assessment_id || class_id, class_id, subject, 'Examination', 1000000,
	DATE '2024-09-01' + (ascii(subject) * 7 + substr(class_id, 7)::int * 40) % 830, year, term
FROM performance_scores;

INSERT INTO results_published
SELECT DISTINCT school, class_id, year, term, TIMESTAMPTZ '2026-01-31' FROM performance_scores WHERE year < '2026-2027';

-- One invoice in twelve is open.
INSERT INTO fee_invoices (school, invoice_id, student_id, year, term, category, currency, amount, waived, open_amount, due_on,
	position, invoiced_at, latest_at, collected, versions, lines)
SELECT school, format('invoice-%s-%s-%s', year, term, n), student_id, year, term, 'tuition', 'EUR', 50000, 0,
	CASE WHEN (n + term_number * 5) % 12 = 0 THEN 20000 WHEN (n + term_number * 5) % 60 = 1 THEN -3000 ELSE 0 END,
	DATE '2024-10-01' + term_number::int * 120, 1, DATE '2024-09-01' + term_number::int * 120, DATE '2024-10-01' + term_number::int * 120,
	50000,
	jsonb_build_array(jsonb_build_object('said', jsonb_build_object('position', 1, 'time', '2024-09-01T00:00:00Z'), 'since', '2024-09-01T00:00:00Z',
		'last', jsonb_build_object('position', 1, 'time', '2024-09-01T00:00:00Z'), 'content', jsonb_build_object(
			'student_id', student_id, 'year', year, 'term', term, 'category', 'tuition', 'amount', 50000, 'currency', 'EUR',
			'due_on', DATE '2024-10-01' + term_number::int * 120))),
	'[{"kind":"payment","id":"p","position":2,"time":"2024-10-01T00:00:00Z","amount":50000,"currency":"EUR","method":"bank","counted":50000}]'
FROM pupils, (SELECT year, term, row_number() OVER () AS term_number
	FROM unnest(ARRAY['2024-2025', '2025-2026', '2026-2027']) year, unnest(ARRAY['autumn', 'spring']) term) terms;

-- A few payments are for invoices that nobody knows.
INSERT INTO fee_invoices (school, invoice_id, student_id, year, term, category, currency, amount, waived, open_amount, position, latest_at, lines)
SELECT school, format('unknown-%s', n), '', '', '', '', '', 0, 0, 0, 0, DATE '2026-10-01',
	'[{"kind":"payment","id":"p","position":2,"time":"2026-10-01T00:00:00Z","amount":700,"currency":"EUR","method":"bank"}]'
FROM pupils WHERE n <= 3;

-- A payment for each invoice, and a few whose ids came twice.
INSERT INTO fee_entries
SELECT school, 'payment', format('payment-%s-%s', n, i), format('invoice-%s', i), student_id, 50000, 'EUR', 'bank',
	TIMESTAMPTZ '2024-09-01' + n * INTERVAL '1 hour' + i * INTERVAL '120 days', i, false,
	jsonb_build_array(jsonb_build_object('said', jsonb_build_object('position', 1, 'time', '2024-09-01T00:00:00Z'), 'since', '2024-09-01T00:00:00Z',
		'last', jsonb_build_object('position', 1, 'time', '2024-09-01T00:00:00Z'), 'content', jsonb_build_object(
			'invoice_id', format('invoice-%s', i), 'student_id', student_id, 'amount', 50000, 'currency', 'EUR', 'method', 'bank'))),
	'[]', n % 100 = 1
FROM pupils, generate_series(1, 6) i;

INSERT INTO fee_accounts
SELECT school, student_id, '[{"currency":"EUR","invoiced":300000,"waived":0,"collected":280000,"open":20000}]',
	'[{"due_on":"2026-02-01","invoice_id":"invoice","category":"tuition","currency":"EUR","amount":20000}]'
FROM pupils;

INSERT INTO fee_totals (school, year, term, currency, category, due_on, invoices, invoiced, waived, collected, reversed, outstanding, overpaid)
SELECT school, year, term, 'EUR', category, DATE '2026-09-01' + d * 10, 100, 5000000, 0, 4800000, 0, 200000, 0
FROM (SELECT DISTINCT school FROM pupils) p, unnest(ARRAY['2024-2025', '2025-2026', '2026-2027']) year,
	unnest(ARRAY['autumn', 'spring', 'summer']) term, unnest(ARRAY['tuition', 'bus', 'lunch', 'books', 'clubs']) category,
	generate_series(1, 10) d;

INSERT INTO fee_methods
SELECT school, year, term, 'EUR', method, 100, 5000000, 0, 0
FROM (SELECT DISTINCT school FROM pupils) p, unnest(ARRAY['2024-2025', '2025-2026', '2026-2027']) year,
	unnest(ARRAY['autumn', 'spring', 'summer']) term, unnest(ARRAY['cash', 'card', 'bank', 'mobile_money']) method;

-- In each month the middle, and on its first day each quarter of an hour of a morning.
INSERT INTO fee_revenue
SELECT school, 'EUR', TIMESTAMPTZ '2022-09-01 08:00Z' + m * INTERVAL '1 month' + CASE WHEN q = 0 THEN INTERVAL '14 days' ELSE q * INTERVAL '15 minutes' END,
	100, 100000 + (m % 12) * 5000, 0, 0
FROM (SELECT DISTINCT school FROM pupils) p, generate_series(0, 49) m, generate_series(0, 10) q;

INSERT INTO fee_cohorts
SELECT school, 'EUR', DATE '2022-09-01' + (m || ' months')::interval, TIMESTAMPTZ '2022-09-15' + ((m + k) || ' months')::interval,
	CASE WHEN k = 0 THEN 1000000 ELSE 0 END, 200000
FROM (SELECT DISTINCT school FROM pupils) p, generate_series(0, 49) m, generate_series(0, 4) k;

INSERT INTO at_risk
SELECT school, student_id,
	CASE WHEN n % 12 = 0 THEN DATE '2026-02-01' WHEN n % 2 = 0 THEN DATE '2027-01-31' END
FROM pupils WHERE n % 2 = 0;

-- Four deliveries for each student, of which one in twenty-five failed, with what the ledger knows of them. The ledger's
-- tables are closed to their owner too.
ALTER TABLE ledger NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_log NO FORCE ROW LEVEL SECURITY;

INSERT INTO deliveries (school, delivery_id, status, attempt, channel, recipient, provider, provider_id, cost, error, cause, correlation,
	kind, student_id, sha256, bytes, sent_at, failed_at, position)
SELECT school, format('delivery-%s-%s-%s', lpad(s::text, 2, '0'), lpad(n::text, 4, '0'), i), CASE WHEN n % 25 = 3 THEN 'failed' ELSE 'delivered' END, 1,
	(ARRAY['sms', 'email', 'in_app', 'push'])[i], format('guardian-%s', n * 3 / 4), 'provider', format('P%s', n * 4 + i), 7500, '',
	format('event-%s', lpad(n::text, 4, '0')), '', '', '', '', 0, TIMESTAMPTZ '2026-11-20' + n * INTERVAL '1 minute',
	CASE WHEN n % 25 = 3 THEN TIMESTAMPTZ '2026-11-19' + n * INTERVAL '5 minutes' END, 1000000 + n * 4 + i
FROM pupils, generate_series(1, 4) i;

INSERT INTO ledger (id, school, source, event_id, event_type, partition, log_offset, planner, recipient, channel, queue, address,
	about, once, student, priority, template, params, language, sender, depends_on, correlation_id, state, planned_at)
SELECT delivery_id, school, 'sis', cause, 'schoolbell.attendance.marked.v1', 0, position, 'absence', recipient, channel, channel, '',
	'', '', replace(cause, 'event', 'student'), 1, 'absence', '{}', 'de', 'Oak', '', cause, status, sent_at - INTERVAL '2 seconds'
FROM deliveries;

INSERT INTO ledger_log (delivery_id, school, at, fence, what, detail) SELECT delivery_id, school, sent_at, 1, 'sent', '' FROM deliveries;

ALTER TABLE ledger FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_log FORCE ROW LEVEL SECURITY;
