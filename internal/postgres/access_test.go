package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// A dump that is restored where the roles do not exist has neither policies nor grants. Roles belong
// to the whole server, so here the policies and grants go, and the roles stay.
func TestP12_MigrateRestoresRights(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	missing := func() []string {
		faults, err := postgres.CheckSchema(t.Context(), url, nil)
		require.NoError(t, err)
		return faults
	}
	require.Empty(t, missing(), "a new schema has all that the migrations say")
	before := rights(t, conn)

	for kind, damage := range map[string]string{
		"all": `DO $$ DECLARE r record; BEGIN
			FOR r IN SELECT policyname, schemaname || '.' || tablename AS t FROM pg_policies
				WHERE schemaname = 'schoolbell' LOOP
				EXECUTE format('DROP POLICY %I ON %s', r.policyname, r.t);
			END LOOP;
			FOR r IN SELECT oid::regclass::text AS t FROM pg_class
				WHERE relrowsecurity AND relnamespace = 'schoolbell'::regnamespace LOOP
				EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', r.t);
			END LOOP; END $$;
			REVOKE ALL ON ALL TABLES IN SCHEMA schoolbell, schoolbell_river
				FROM schoolbell_projector, schoolbell_api, schoolbell_jobs;
			REVOKE ALL ON SCHEMA schoolbell, schoolbell_river
				FROM schoolbell_projector, schoolbell_api, schoolbell_jobs`,
		"a policy":       `DROP POLICY one_school ON schoolbell.students`,
		"a right":        `REVOKE INSERT ON schoolbell.ledger FROM schoolbell_jobs`,
		"a view":         `REVOKE SELECT ON schoolbell.open_invoices FROM schoolbell_api`,
		"River's":        `REVOKE DELETE ON schoolbell_river.river_job FROM schoolbell_jobs`,
		"forced for all": `ALTER TABLE schoolbell.timeline NO FORCE ROW LEVEL SECURITY`,
	} {
		_, err := conn.Exec(t.Context(), damage)
		require.NoError(t, err, kind)
		require.NotEmpty(t, missing(), kind)
		require.NoError(t, postgres.Migrate(t.Context(), url), kind)
		require.Empty(t, missing(), kind)
		require.Equal(t, before, rights(t, conn), kind)
	}
}

// rights lists the policies and privileges of the roles.
func rights(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, _ := conn.Query(t.Context(), `
		SELECT concat_ws(' ', tablename, policyname, cmd, roles::text, qual, with_check) AS line
		FROM pg_policies WHERE schemaname = 'schoolbell'
		UNION ALL
		SELECT concat_ws(' ', table_schema, table_name, grantee, privilege_type)
		FROM information_schema.role_table_grants WHERE grantee LIKE 'schoolbell\_%'
		UNION ALL
		SELECT concat_ws(' ', column_name, table_name, grantee, privilege_type)
		FROM information_schema.column_privileges WHERE grantee LIKE 'schoolbell\_%'
		ORDER BY line`)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}
