package revocation_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/revocation"
)

func TestMain(m *testing.M) { devtest.Main(m) }

type bundle struct {
	*testing.T
	pool *pgxpool.Pool
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return &bundle{t, devtest.Pool(t, devtest.Postgres(t), postgres.Jobs).Conns()}
}

// process is one that has just started.
func (b *bundle) process() *revocation.List {
	b.Helper()
	l := revocation.New(b.pool, slog.New(slog.DiscardHandler))
	require.NoError(b, l.Load(b.Context()))
	return l
}

func (b *bundle) load(l *revocation.List) {
	b.Helper()
	require.NoError(b, l.Load(b.Context()))
}

func (b *bundle) exec(sql string) {
	b.Helper()
	_, err := b.pool.Exec(b.Context(), sql)
	require.NoError(b, err)
}

func (b *bundle) stored() (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.Context(),
		"SELECT count(*) FROM schoolbell.revocations").Scan(&n))
	return n
}

func token(user, id string) auth.Principal {
	return auth.Principal{
		School: "north", Subject: user, TokenID: id, Issued: time.Now().Add(-time.Hour),
	}
}

func revoke(user, id string) auth.Revocation {
	return auth.Revocation{
		School: "north", User: user, TokenID: id, At: time.Now(), Until: time.Now().Add(time.Hour),
	}
}

func TestP10_RevocationsReachAllProcessesAndSurviveThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	here, there := b.process(), b.process()
	require.NoError(t, here.Add(t.Context(), revoke("tom", "t-1")))
	require.True(t, here.Revoked(token("tom", "t-1")))
	require.False(t, here.Revoked(token("tom", "t-2")), "it is about one token")
	require.False(t, there.Revoked(token("tom", "t-1")))
	b.load(there)
	require.True(t, there.Revoked(token("tom", "t-1")))
	require.True(t, b.process().Revoked(token("tom", "t-1")), "it survives a restart of all")

	// An older one that comes late takes nothing back.
	late := revoke("tom", "t-1")
	late.At, late.Until = late.At.Add(-2*time.Hour), time.Now().Add(time.Minute)
	require.NoError(t, there.Add(t.Context(), late))
	require.True(t, there.Revoked(token("tom", "t-1")))
	require.True(t, b.process().Revoked(token("tom", "t-1")))

	require.NoError(t, there.Add(t.Context(), revoke("tom", "")))
	b.load(here)
	require.True(t, here.Revoked(token("tom", "t-2")))
	var users []string
	for r := range here.Users() {
		users = append(users, r.User+r.TokenID)
	}
	require.Equal(t, []string{"tom"}, users, "those of single tokens are left out")
}

// Processes read only what they do not know: what is damaged behind their version stays unseen.
func TestOnlyChangesAreRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	here, there := b.process(), b.process()
	require.NoError(t, here.Add(t.Context(), revoke("tom", "")))
	b.load(there)
	b.exec(`UPDATE schoolbell.revocations SET user_id = 'eve'`)
	require.NoError(t, here.Add(t.Context(), revoke("ann", "")))
	b.load(there)
	require.True(t, there.Revoked(token("ann", "")))
	require.False(t, there.Revoked(token("eve", "")))
}

func user(writer, i int) string { return strconv.Itoa(writer) + "-" + strconv.Itoa(i) }

// Versions are given before commits, so that without an order of these a reader could pass one by.
func TestNoChangeIsPassedBy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reader := b.process()
	const writers, n = 8, 50
	ended := make(chan error)
	for w := range writers {
		go func() {
			l := revocation.New(b.pool, slog.New(slog.DiscardHandler))
			for i := range n {
				if err := l.Add(b.Context(), revoke(user(w, i), "")); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	for left := writers; left > 0; {
		select {
		case err := <-ended:
			require.NoError(t, err)
			left--
		default:
			b.load(reader)
		}
	}
	b.load(reader)
	for w := range writers {
		for i := range n {
			require.True(t, reader.Revoked(token(user(w, i), "")))
		}
	}
}

func TestARestoredDatabaseGetsBackWhatProcessesKnow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	here := b.process()
	for _, user := range []string{"tom", "ann", "joe"} {
		require.NoError(t, here.Add(t.Context(), revoke(user, "")))
		b.load(here)
	}
	b.exec(`DELETE FROM schoolbell.revocations`)
	owner := devtest.Pool(t, b.pool.Config().ConnString(), postgres.Owner).Conns()
	_, err := owner.Exec(t.Context(), `ALTER SEQUENCE schoolbell.revocations_version_seq RESTART`)
	require.NoError(t, err)
	b.load(here)
	restarted := b.process()
	require.True(t, here.Revoked(token("tom", "")))
	require.True(t, restarted.Revoked(token("tom", "")))
	require.True(t, restarted.Revoked(token("joe", "")))
}

func TestARevocationHoldsHereWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	here := b.process()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, here.Add(gone, revoke("tom", "")))
	require.True(t, here.Revoked(token("tom", "")))
	require.False(t, b.process().Revoked(token("tom", "")))
	b.load(here)
	require.True(t, b.process().Revoked(token("tom", "")), "it is stored later")
}

func TestExpiredRevocationsAreDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := revoke("tom", "")
	old.Until = time.Now().Add(-time.Second)
	here := revocation.New(b.pool, slog.New(slog.DiscardHandler))
	require.NoError(t, here.Add(t.Context(), old))
	require.NoError(t, here.Add(t.Context(), revoke("ann", "")))
	b.load(here)
	require.Equal(t, 1, b.stored())
	require.False(t, here.Revoked(token("tom", "")))
	require.True(t, here.Revoked(token("ann", "")))

	require.NoError(t, here.Import(t.Context(), []auth.Revocation{old, revoke("joe", "")}))
	require.Equal(t, 2, b.stored(), "what has expired is not taken over")
	require.True(t, b.process().Revoked(token("joe", "")))
}

func TestRevocationsOfASchoolAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	here := b.process()
	var list []auth.Revocation
	for i := range revocation.MaxPerSchool {
		list = append(list, revoke("tom", strconv.Itoa(i)))
	}
	require.NoError(t, here.Import(t.Context(), list))
	require.ErrorIs(t, here.Add(t.Context(), revoke("tom", "another")),
		auth.ErrTooManyRevocations)
	require.NoError(t, here.Add(t.Context(), revoke("tom", "1")), "one in force can be repeated")
	elsewhere := revoke("tom", "a")
	elsewhere.School = "south"
	require.NoError(t, here.Add(t.Context(), elsewhere), "its neighbours are not concerned")
}

func TestRunLoadsUntilItEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	here, there := b.process(), b.process()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- there.Run(ctx) }()
	require.NoError(t, here.Add(t.Context(), revoke("tom", "")))
	require.Eventually(t, func() bool { return there.Revoked(token("tom", "")) }, 10*time.Second,
		time.Millisecond)
	stop()
	require.NoError(t, <-ended)
}
