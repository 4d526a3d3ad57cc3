package authors_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/ingest/authors"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

type bundle struct {
	*testing.T
	jobs, api, owner *postgres.Pool
}

func setup(t *testing.T) *bundle {
	t.Helper()
	dsn := devtest.Postgres(t)
	return &bundle{
		t, devtest.Pool(t, dsn, postgres.Jobs), devtest.Pool(t, dsn, postgres.API),
		devtest.Pool(t, dsn, postgres.Owner),
	}
}

// process is one that has just started.
func (b *bundle) process(pool *pgxpool.Pool) *authors.Authors {
	b.Helper()
	a, err := authors.Open(b.Context(), pool, slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	return a
}

func (b *bundle) exec(sql string) {
	b.Helper()
	_, err := b.owner.Conns().Exec(b.Context(), sql)
	require.NoError(b, err)
}

func (b *bundle) list(school string, f authors.Filter) (list []authors.Actor) {
	b.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	require.NoError(b, b.api.Read(b.Context(), school, func(tx pgx.Tx) (err error) {
		list, err = authors.List(b.Context(), tx, school, f)
		return err
	}))
	return list
}

func TestAWriterHasOneHashInEachSchool(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ada := authors.Token{Subject: "ada@school.example", ID: "jti-1"}
	first := b.process(b.jobs.Conns()).Of(t.Context(), "north", ada)
	again := b.process(b.jobs.Conns()).Of(t.Context(), "north", ada)
	require.Equal(t, first, again, "two processes name a writer alike")
	require.Equal(t, "jti-1", first.TokenID)
	require.NotContains(t, first.Subject, "ada")

	seen := map[string]bool{first.Subject: true}
	for _, other := range []struct {
		school string
		token  authors.Token
	}{
		{"south", ada},
		{"north", authors.Token{Subject: "bob@school.example"}},
		{"north", authors.Token{Subject: ada.Subject, Operator: true}},
	} {
		hash := b.process(b.jobs.Conns()).Of(t.Context(), other.school, other.token).Subject
		require.False(t, seen[hash], "%v", other)
		seen[hash] = true
	}

	list := b.list("north", authors.Filter{Actor: first.Subject})
	require.Len(t, list, 1)
	require.Equal(t, ada.Subject, list[0].Subject)
	require.Len(t, b.list("north", authors.Filter{Subject: ada.Subject}), 2, "also the operator")
	require.Len(t, b.list("north", authors.Filter{}), 3)
	require.Empty(t, b.list("south", authors.Filter{Actor: first.Subject}))
	page := b.list("north", authors.Filter{Limit: 2})
	require.Equal(t, b.list("north", authors.Filter{})[2:],
		b.list("north", authors.Filter{After: page[1].Actor}))
}

// Whatever a token's id is, an event can carry what stands for it.
func TestATokensIDFitsIntoAnEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.process(b.jobs.Conns())
	for _, id := range []string{"", "4Q7XK2", strings.Repeat("x", 200), "a\x00b", " lead"} {
		got := of.Of(t.Context(), "north", authors.Token{Subject: "u", ID: id}).TokenID
		var f domain.Faults
		f.OptionalID("/authjti", got)
		require.NoError(t, f.Err(), "%q became %q", id, got)
		require.Equal(t, id == "", got == "")
	}
}

// Events are taken without PostgreSQL. Who wrote them follows when it is back.
func TestAWriterIsStoredWhenTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.process(b.jobs.Conns())
	b.exec("ALTER TABLE schoolbell.actors RENAME TO away")
	got := a.Of(t.Context(), "north", authors.Token{Subject: "ada"})
	require.NotEmpty(t, got.Subject)
	require.Error(t, a.Flush(t.Context()))
	b.exec("ALTER TABLE schoolbell.away RENAME TO actors")
	require.Empty(t, b.list("north", authors.Filter{}))
	require.NoError(t, a.Flush(t.Context()))
	list := b.list("north", authors.Filter{})
	require.Len(t, list, 1)
	require.Equal(t, got.Subject, list[0].Actor)
}
