package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/migrations"
)

// What the migrations say about roles, policies and grants is lost when a database is restored where
// the roles do not exist: a dump has no roles, and what names one is left out. So it is read from the
// migrations' own text, compared with the database, and applied again where something is missing.

// accessStatement is one statement of a migration about who may do what.
type accessStatement struct {
	text      string
	relations []string // that it is about; empty for schemas, functions and defaults
}

var (
	accessPattern = regexp.MustCompile(`(?m)^(?:GRANT|REVOKE|(?:CREATE|DROP) POLICY|` +
		`SELECT schoolbell\.(?:protect|protect_for_jobs|let_jobs_read)\(|` +
		`ALTER DEFAULT PRIVILEGES|ALTER FUNCTION)[^;]*;`)
	protectPattern = regexp.MustCompile(
		`^SELECT schoolbell\.(protect|protect_for_jobs|let_jobs_read)\('([a-z_.]+)'\)`)
	policyPattern = regexp.MustCompile(`^(CREATE|DROP) POLICY (\w+) ON ([a-z_.]+)[ ;]`)
	// Functions are named without their arguments while there is one of that name, and later with them.
	functionPattern = regexp.MustCompile(
		`(?s)^((?:GRANT|REVOKE) \w+ ON FUNCTION|ALTER FUNCTION) ([\w., ]+?)(\s+(?:TO|FROM|OWNER TO) \w+;)`)
	grantPattern = regexp.MustCompile(
		`(?s)^(GRANT|REVOKE) (.*?)\s+ON ((?:schoolbell\.\w+(?:,\s*)?)+)\s+(?:TO|FROM) ([\w, ]+);`)
	rolesPattern = regexp.MustCompile(`(?s)-- \+goose StatementBegin\n(DO .*?)-- \+goose StatementEnd`)
)

// accessStatements reads the migrations, in order.
func accessStatements() (all []accessStatement, err error) {
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			return nil, err
		}
		for _, s := range accessPattern.FindAllString(string(text), -1) {
			a := accessStatement{text: s}
			if m := protectPattern.FindStringSubmatch(s); m != nil {
				a.relations = []string{m[2]}
			} else if m := policyPattern.FindStringSubmatch(s); m != nil {
				a.relations = []string{m[3]}
			} else if m := grantPattern.FindStringSubmatch(s); m != nil {
				a.relations = words(m[3])
			}
			all = append(all, a)
		}
	}
	return all, nil
}

func words(list string) []string {
	all := strings.Split(list, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// access is who may do what with one relation.
type access struct {
	secured  bool     // by row-level security, which binds the owner too
	policies []string // by name
	grants   []grant
}

type grant struct{ role, privilege string }

// expectedAccess is what the statements add up to, by relation. Privileges on single columns are
// left out.
func expectedAccess(statements []accessStatement) map[string]*access {
	all := map[string]*access{}
	of := func(relation string) *access {
		if all[relation] == nil {
			all[relation] = &access{}
		}
		return all[relation]
	}
	readWrite := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	for _, s := range statements {
		if m := protectPattern.FindStringSubmatch(s.text); m != nil {
			a := of(m[2])
			switch m[1] {
			case "protect":
				a.protect("projector")
				a.grant(string(Projector), readWrite...)
				a.grant(string(API), "SELECT")
			case "protect_for_jobs":
				a.protect("jobs")
				a.grant(string(Jobs), readWrite...)
				a.grant(string(API), "SELECT")
			default:
				a.policies = append(a.policies, "jobs")
				a.grant(string(Jobs), "SELECT")
			}
		} else if m := policyPattern.FindStringSubmatch(s.text); m != nil {
			a := of(m[3])
			a.policies = slices.DeleteFunc(a.policies, func(p string) bool { return p == m[2] })
			if m[1] == "CREATE" {
				a.policies = append(a.policies, m[2])
			}
		} else if m := grantPattern.FindStringSubmatch(s.text); m != nil {
			for _, relation := range words(m[3]) {
				for _, role := range words(m[4]) {
					of(relation).change(m[1] == "GRANT", role, words(m[2]))
				}
			}
		}
	}
	return all
}

func (a *access) protect(writer string) {
	a.secured = true
	a.policies = append(a.policies, writer, "one_school")
}

func (a *access) grant(role string, privileges ...string) { a.change(true, role, privileges) }

func (a *access) change(given bool, role string, privileges []string) {
	for _, p := range privileges {
		if strings.Contains(p, "(") {
			continue
		}
		g := grant{role, p}
		a.grants = slices.DeleteFunc(a.grants, func(other grant) bool { return other == g })
		if given {
			a.grants = append(a.grants, g)
		}
	}
}

// MissingAccess says what of a schema is not as this program's migrations leave it: roles, row-level
// security, policies and grants, one line each. It changes nothing.
func MissingAccess(ctx context.Context, conn *pgx.Conn) (missing []string, err error) {
	roles, err := missingRoles(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		missing = append(missing, "role "+r+" does not exist, or this user is no member of it")
	}
	statements, err := accessStatements()
	if err != nil {
		return nil, err
	}
	byRelation, err := missingByRelation(ctx, conn, expectedAccess(statements))
	if err != nil {
		return nil, err
	}
	for _, relation := range sortedKeys(byRelation) {
		for _, what := range byRelation[relation] {
			missing = append(missing, relation+": "+what)
		}
	}
	river, err := riverIsClosed(ctx, conn)
	if err != nil {
		return nil, err
	}
	if river {
		missing = append(missing, riverSchema+": not all rights of role "+string(Jobs))
	}
	return missing, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func missingRoles(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, _ := conn.Query(ctx, `SELECT wanted FROM unnest($1::text[]) AS wanted
		LEFT JOIN pg_roles r ON r.rolname = wanted
		WHERE r.oid IS NULL OR NOT pg_has_role(current_user, r.oid, 'MEMBER')`,
		[]string{string(Projector), string(API), string(Jobs)})
	roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for roles: %w", err)
	}
	return roles, nil
}

// missingByRelation looks at those relations that exist.
func missingByRelation(
	ctx context.Context, conn *pgx.Conn, expected map[string]*access,
) (map[string][]string, error) {
	missing := map[string][]string{}
	for _, relation := range sortedKeys(expected) {
		a := expected[relation]
		var roles, privileges []string
		for _, g := range a.grants {
			roles, privileges = append(roles, g.role), append(privileges, g.privilege)
		}
		rows, _ := conn.Query(ctx, `
			WITH c AS (
				SELECT oid, relrowsecurity AND relforcerowsecurity AS secured FROM pg_class
				WHERE oid = to_regclass($1)
			)
			SELECT 'row-level security is not forced' FROM c WHERE $2 AND NOT secured
			UNION ALL
			SELECT 'policy ' || p || ' is missing' FROM c, unnest($3::text[]) AS p
			WHERE NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = p)
			UNION ALL
			SELECT 'role ' || g.role || ' may not ' || g.privilege
			FROM c, unnest($4::text[], $5::text[]) AS g (role, privilege)
			LEFT JOIN pg_roles r ON r.rolname = g.role
			WHERE r.oid IS NULL OR NOT has_table_privilege(r.oid, c.oid, g.privilege)`,
			relation, a.secured, a.policies, roles, privileges)
		faults, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("look at the rights on %s: %w", relation, err)
		}
		if len(faults) > 0 {
			missing[relation] = faults
		}
	}
	return missing, nil
}

// riverIsClosed reports whether the jobs' role lacks a right on a table of River's.
func riverIsClosed(ctx context.Context, conn *pgx.Conn) (closed bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			LEFT JOIN pg_roles r ON r.rolname = $2
			WHERE n.nspname = $1 AND c.relkind = 'r' AND (r.oid IS NULL
				OR NOT has_schema_privilege(r.oid, n.oid, 'USAGE')
				OR NOT has_table_privilege(r.oid, c.oid, 'SELECT')
				OR NOT has_table_privilege(r.oid, c.oid, 'INSERT')
				OR NOT has_table_privilege(r.oid, c.oid, 'UPDATE')
				OR NOT has_table_privilege(r.oid, c.oid, 'DELETE')))`,
		riverSchema, string(Jobs)).Scan(&closed)
	if err != nil {
		return false, fmt.Errorf("look at the rights on River's tables: %w", err)
	}
	return closed, nil
}

// makeRoles creates the roles that do not exist, as the first migration does.
func makeRoles(ctx context.Context, conn *pgx.Conn) error {
	missing, err := missingRoles(ctx, conn)
	if err != nil || len(missing) == 0 {
		return err
	}
	text, err := fs.ReadFile(migrations.FS, "0001_roles.sql")
	if err != nil {
		return err
	}
	m := rolesPattern.FindSubmatch(text)
	if m == nil {
		return errors.New("the first migration does not create roles")
	}
	if _, err := conn.Exec(ctx, string(m[1])); err != nil {
		return fmt.Errorf("create roles %s: %w", strings.Join(missing, ", "), err)
	}
	return nil
}

// repairAccess applies what the migrations say about those relations of which something is missing,
// in one transaction, and about schemas and functions when anything is.
func repairAccess(ctx context.Context, conn *pgx.Conn) error {
	missing, err := MissingAccess(ctx, conn)
	if err != nil || len(missing) == 0 {
		return err
	}
	statements, err := accessStatements()
	if err != nil {
		return err
	}
	byRelation, err := missingByRelation(ctx, conn, expectedAccess(statements))
	if err != nil {
		return err
	}
	repaired := together(statements, byRelation)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range statements {
			if len(s.relations) > 0 && !repaired[s.relations[0]] {
				continue
			}
			if err := s.apply(ctx, tx); err != nil {
				return err
			}
		}
		for _, kind := range []string{
			"SELECT, INSERT, UPDATE, DELETE ON ALL TABLES", "USAGE, SELECT ON ALL SEQUENCES",
		} {
			if _, err := tx.Exec(ctx, `GRANT `+kind+` IN SCHEMA `+riverSchema+` TO `+
				string(Jobs)); err != nil {
				return fmt.Errorf("open River's tables: %w", err)
			}
		}
		return nil
	})
}

// together returns the relations that are to be repaired: those of which something is missing, and
// what statements name next to them, as what one of those gives another one may take.
func together(statements []accessStatement, missing map[string][]string) map[string]bool {
	all := map[string]bool{}
	for r := range missing {
		all[r] = true
	}
	for before := -1; before != len(all); {
		before = len(all)
		for _, s := range statements {
			if slices.ContainsFunc(s.relations, func(r string) bool { return all[r] }) {
				for _, r := range s.relations {
					all[r] = true
				}
			}
		}
	}
	return all
}

// apply executes the statement. A policy that is there is made again.
func (s *accessStatement) apply(ctx context.Context, tx pgx.Tx) error {
	for _, relation := range s.relations {
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, relation).
			Scan(&exists); err != nil {
			return err
		}
		if !exists {
			return nil // a later migration has dropped it
		}
	}
	var policies []string
	if m := protectPattern.FindStringSubmatch(s.text); m != nil {
		policies = map[string][]string{
			"protect": {"projector", "one_school"}, "protect_for_jobs": {"jobs", "one_school"},
			"let_jobs_read": {"jobs"},
		}[m[1]]
	} else if m := policyPattern.FindStringSubmatch(s.text); m != nil {
		if m[1] == "DROP" {
			_, err := tx.Exec(ctx, `DROP POLICY IF EXISTS `+m[2]+` ON `+m[3])
			return err
		}
		policies = []string{m[2]}
	}
	for _, p := range policies {
		if _, err := tx.Exec(ctx, `DROP POLICY IF EXISTS `+p+` ON `+s.relations[0]); err != nil {
			return fmt.Errorf("replace policy %s of %s: %w", p, s.relations[0], err)
		}
	}
	texts, err := s.perFunction(ctx, tx)
	if err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := tx.Exec(ctx, text); err != nil {
			return fmt.Errorf("restore rights by %.60q: %w", text, err)
		}
	}
	return nil
}

// perFunction returns the statement, once for each function that it names without arguments: there
// may be several of that name by now, or none.
func (s *accessStatement) perFunction(ctx context.Context, tx pgx.Tx) ([]string, error) {
	m := functionPattern.FindStringSubmatch(s.text)
	if m == nil {
		return []string{s.text}, nil
	}
	rows, _ := tx.Query(ctx, `SELECT p.oid::regprocedure::text FROM pg_proc p
		JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname || '.' || p.proname = ANY ($1) ORDER BY 1`, words(m[2]))
	functions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for functions: %w", err)
	}
	texts := make([]string, len(functions))
	for i, f := range functions {
		texts[i] = m[1] + " " + f + m[3]
	}
	return texts, nil
}
