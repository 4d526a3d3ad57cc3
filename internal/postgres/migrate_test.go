package postgres_test

import (
	"errors"
	neturl "net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestMigrateByManyAtOnce(t *testing.T) {
	t.Parallel()
	// Two databases, because roles are shared by all databases of a server.
	urls := []string{devtest.EmptyPostgres(t), devtest.EmptyPostgres(t)}
	var all errgroup.Group
	for i := range 8 {
		all.Go(func() error { return postgres.Migrate(t.Context(), urls[i%2]) })
	}
	require.NoError(t, all.Wait())
	require.NoError(t, postgres.Migrate(t.Context(), urls[0]), "a second time")
}

func TestMigrateAsPlainOwner(t *testing.T) {
	t.Parallel()
	url := devtest.EmptyPostgres(t)
	super, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer super.Close(t.Context())
	for _, sql := range []string{
		`DROP ROLE IF EXISTS plain_owner`,
		`CREATE ROLE plain_owner LOGIN CREATEROLE PASSWORD 'plain'`,
		`ALTER DATABASE ` + super.Config().Database + ` OWNER TO plain_owner`,
	} {
		_, err = super.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	address, err := neturl.Parse(url)
	require.NoError(t, err)
	address.User = neturl.UserPassword("plain_owner", "plain")
	plain := address.String()
	require.NoError(t, postgres.Migrate(t.Context(), plain))

	for _, role := range []postgres.Role{postgres.Owner, postgres.Projector, postgres.API} {
		pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: plain, Role: role})
		require.NoError(t, err)
		require.NoError(t, pool.Ping(t.Context()), "as %q", role)
		pool.Close()
	}
}

func TestMigrateRefusesOtherSchemas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sql  string
		want error
	}{
		{
			"CREATE SCHEMA schoolbell; CREATE TABLE schoolbell.migrations (version_id bigint)",
			postgres.ErrLegacySchema,
		},
		{
			"INSERT INTO schoolbell.schema_versions (version_id, is_applied) VALUES (9999, true)",
			postgres.ErrNewerSchema,
		},
	} {
		url := devtest.EmptyPostgres(t)
		if errors.Is(c.want, postgres.ErrNewerSchema) {
			require.NoError(t, postgres.Migrate(t.Context(), url))
		}
		exec(t, url, c.sql)
		require.ErrorIs(t, postgres.Migrate(t.Context(), url), c.want)
	}
}
