package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// When tables are exchanged, whatever depends on an old one would follow it, and be dropped with
// it. Views are a query and nothing else, so they are dropped and created again on the new tables,
// with all that belongs to them, in the transaction of the exchange. They may be ours, as a package
// lets others read its tables by a view, or an installation's own. Anything else that depends on a
// table keeps it from being exchanged, and is reported before a rebuild begins.

// view is a view over exchanged tables.
type view struct {
	name   string // qualified and quoted
	create string // statements that create it again
}

// dependents returns the views over tables, each after those it reads, and a description of each
// dependent that cannot be recreated.
func dependents(
	ctx context.Context, tx pgx.Tx, tables []string,
) (views []view, blockers []string, err error) {
	var oids []uint32
	if err := tx.QueryRow(ctx, `SELECT array_agg(t::regclass::oid) FROM unnest($1::text[]) t`,
		tables).Scan(&oids); err != nil {
		return nil, nil, fmt.Errorf("look tables up: %w", err)
	}
	// With an empty search path all names in the views' definitions are qualified.
	if _, err := tx.Exec(ctx, "SAVEPOINT names; SET LOCAL search_path = pg_catalog"); err != nil {
		return nil, nil, err
	}
	rows, err := tx.Query(ctx, viewsQuery, oids)
	if err != nil {
		return nil, nil, fmt.Errorf("look for views: %w", err)
	}
	var v view
	var oid uint32
	if _, err := pgx.ForEachRow(rows, []any{&oid, &v.name, &v.create}, func() error {
		views, oids = append(views, v), append(oids, oid)
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("look for views: %w", err)
	}
	rows, err = tx.Query(ctx, blockersQuery, oids)
	if err == nil {
		blockers, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look for what depends on tables: %w", err)
	}
	_, err = tx.Exec(ctx, "ROLLBACK TO names; RELEASE names")
	return views, blockers, err
}

// viewsQuery finds the views over tables, by the dependencies of their rules, and what it takes to
// create each again: columns, options, query, owner, defaults, grants and comments. A view's depth
// is the longest way to a table, so that what a view reads comes before it.
const viewsQuery = `
WITH RECURSIVE reading (oid, depth) AS (
	SELECT unnest($1::oid[]), 0
	UNION
	SELECT rule.ev_class, reading.depth + 1
	FROM reading
	JOIN pg_class read ON read.oid = reading.oid
	JOIN pg_depend d ON d.deptype = 'n' AND d.classid = 'pg_rewrite'::regclass
		AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = read.oid
			OR d.refclassid = 'pg_type'::regclass AND d.refobjid = read.reltype)
	JOIN pg_rewrite rule ON rule.oid = d.objid AND rule.rulename = '_RETURN'
		AND rule.ev_class <> read.oid
	JOIN pg_class reader ON reader.oid = rule.ev_class AND reader.relkind = 'v'
), views AS (
	SELECT c.oid, max(depth) AS depth, c.oid::regclass::text AS name, c.relowner, c.relacl,
		c.reloptions
	FROM reading JOIN pg_class c ON c.oid = reading.oid WHERE depth > 0 GROUP BY c.oid
)
SELECT v.oid, v.name, concat_ws('; ',
	format('CREATE VIEW %s (%s)%s AS %s', v.name,
		(SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = v.oid AND attnum > 0),
		' WITH (' || array_to_string(v.reloptions, ', ') || ')',
		rtrim(pg_get_viewdef(v.oid), ';')),
	(SELECT string_agg(format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', v.name, attname,
			pg_get_expr(adbin, adrelid)), '; ')
		FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
		WHERE adrelid = v.oid),
	format('COMMENT ON VIEW %s IS %L', v.name, obj_description(v.oid, 'pg_class')),
	(SELECT string_agg(format('COMMENT ON COLUMN %s.%I IS %L', v.name, attname,
			col_description(v.oid, attnum)), '; ')
		FROM pg_attribute WHERE attrelid = v.oid AND attnum > 0
			AND col_description(v.oid, attnum) IS NOT NULL),
	CASE WHEN v.relowner::regrole::text <> quote_ident(current_user)
		THEN format('ALTER VIEW %s OWNER TO %s', v.name, v.relowner::regrole) END,
	CASE WHEN v.relacl IS NOT NULL
		THEN format('REVOKE ALL ON %s FROM PUBLIC, %s', v.name, v.relowner::regrole) END,
	(SELECT string_agg(format('GRANT %s ON %s TO %s%s', privilege_type, v.name,
			CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
			CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; ')
		FROM aclexplode(v.relacl)),
	(SELECT string_agg(format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, v.name,
			CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
			CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; ')
		FROM pg_attribute, aclexplode(attacl) WHERE attrelid = v.oid AND attnum > 0))
FROM views v ORDER BY v.depth, v.name`

// blockersQuery describes what keeps tables, and the views over them, from being dropped or created
// again as they were: materialised views, functions, rules and foreign keys of others; triggers and
// publications; and views that the one who rebuilds may not give back to their owner.
const blockersQuery = `
WITH relations AS (
	SELECT c.oid, c.reltype, t.typarray, c.relkind, c.relowner, c.relnamespace FROM pg_class c
	LEFT JOIN pg_type t ON t.oid = c.reltype WHERE c.oid = ANY ($1)
)
SELECT DISTINCT CASE WHEN rule.rulename = '_RETURN'
	THEN pg_describe_object('pg_class'::regclass, rule.ev_class, 0)
	ELSE pg_describe_object(d.classid, d.objid, 0) END
FROM relations r
JOIN pg_depend d ON d.deptype = 'n' AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
	OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (r.reltype, r.typarray))
LEFT JOIN pg_rewrite rule ON d.classid = 'pg_rewrite'::regclass AND rule.oid = d.objid
LEFT JOIN pg_constraint con ON d.classid = 'pg_constraint'::regclass AND con.oid = d.objid
LEFT JOIN pg_policy pol ON d.classid = 'pg_policy'::regclass AND pol.oid = d.objid
LEFT JOIN pg_attrdef def ON d.classid = 'pg_attrdef'::regclass AND def.oid = d.objid
LEFT JOIN pg_trigger trg ON d.classid = 'pg_trigger'::regclass AND trg.oid = d.objid
WHERE coalesce(rule.ev_class, con.conrelid, pol.polrelid, def.adrelid, trg.tgrelid,
	CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid END, 0) <> ALL ($1)
UNION
SELECT pg_describe_object('pg_trigger'::regclass, t.oid, 0) FROM pg_trigger t
WHERE tgrelid = ANY ($1) AND NOT tgisinternal
UNION
SELECT pg_describe_object('pg_rewrite'::regclass, w.oid, 0) FROM pg_rewrite w
WHERE ev_class = ANY ($1) AND rulename <> '_RETURN'
UNION
SELECT pg_describe_object('pg_publication_rel'::regclass, p.oid, 0) FROM pg_publication_rel p
WHERE prrelid = ANY ($1)
UNION
SELECT format('view %s, whose owner is %s', r.oid::regclass, relowner::regrole) FROM relations r
WHERE relkind = 'v' AND relowner::regrole::text <> quote_ident(current_user)
	AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
	AND NOT (pg_has_role(relowner, 'USAGE')
		AND has_schema_privilege(relowner, relnamespace, 'CREATE'))
ORDER BY 1`

// blocked is the error of exchanging tables that something else depends on.
func blocked(blockers []string) error {
	if len(blockers) == 0 {
		return nil
	}
	return fmt.Errorf("the tables cannot be exchanged because of: %s. Drop these before the "+
		"rebuild, and create them again after it",
		strings.Join(blockers, "; "))
}

// checkDependents fails when something depends on the tables that cannot be recreated.
func (s *shadowTables) checkDependents(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		_, blockers, err := dependents(ctx, tx, liveTables(s.exchanged()))
		if err != nil {
			return err
		}
		return blocked(blockers)
	})
}

// dropViews drops the views over tables, the outermost first, and returns the statements that
// create them again.
func dropViews(ctx context.Context, tx pgx.Tx, tables []string) (create []string, err error) {
	// They may have changed since the rebuild began.
	views, blockers, err := dependents(ctx, tx, tables)
	if err != nil {
		return nil, err
	}
	if err := blocked(blockers); err != nil {
		return nil, err
	}
	for _, v := range slices.Backward(views) {
		if _, err := tx.Exec(ctx, "DROP VIEW "+v.name); err != nil {
			return nil, fmt.Errorf("drop view %s: %w", v.name, err)
		}
	}
	for _, v := range views {
		create = append(create, v.create)
	}
	return create, nil
}

// liveTables returns the qualified names of live tables.
func liveTables(names []string) []string {
	qualified := make([]string, len(names))
	for i, name := range names {
		qualified[i] = pgx.Identifier{liveSchema, name}.Sanitize()
	}
	return qualified
}
