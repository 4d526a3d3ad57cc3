package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain/delivery"
)

func TestDeliveriesAreStoredOnceAndDoneOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newProvider(nil)
	l := w.ledger(only(consumers.SMS, p))
	plans := []consumers.Planning{plan("s1", "e1", 0, "g1", "g2"), plan("s2", "e2", 1, "g1")}
	n, err := l.Commit(t.Context(), plans)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	n, err = l.Commit(t.Context(), plans)
	require.NoError(t, err)
	require.Zero(t, n)
	run(t, l)
	w.eventually(map[string]int{"sent": 3})
	require.Equal(t, sorted(ids(plans...)), sorted(p.order()))
	require.Eventually(t, func() bool { return len(w.outcomes()) == 3 }, 10*time.Second, 10*time.Millisecond)
	for _, types := range w.outcomes() {
		require.Equal(t, []string{delivery.TypeSent}, types)
	}
	e, err := l.Show(t.Context(), plans[0].Deliveries[0].ID)
	require.NoError(t, err)
	require.Equal(t, "p-"+e.ID, e.ProviderID)
	require.Len(t, e.Log, 1)
	require.Equal(t, "sent", e.Log[0].What)
}

func TestNothingIsAddedToAPlan(t *testing.T) {
	t.Parallel()
	w := setup(t)
	l := w.ledger(nil)
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "g1")})
	require.NoError(t, err)
	n, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "g1", "new-guardian")})
	require.NoError(t, err)
	require.Zero(t, n, "by now the planner finds another guardian")
}

func TestErrorsDecideWhatHappensNext(t *testing.T) {
	t.Parallel()
	fail := func(class consumers.ErrorClass) error {
		return &consumers.SendError{Class: class, Code: "x", Err: errors.New("no")}
	}
	for name, c := range map[string]struct {
		can   consumers.Abilities
		err   error
		times int // that it fails
		state string
		asked int
	}{
		"permanent":              {consumers.Abilities{}, fail(consumers.Permanent), 100, "failed", 1},
		"temporary, then not":    {consumers.Abilities{}, fail(consumers.Temporary), 2, "sent", 3},
		"temporary, always":      {consumers.Abilities{}, fail(consumers.Temporary), 100, "dead", 4},
		"unsure":                 {consumers.Abilities{}, fail(consumers.Unsure), 1, "unknown", 1},
		"unclassified":           {consumers.Abilities{}, errors.New("boom"), 1, "unknown", 1},
		"unsure, but idempotent": {consumers.Abilities{Idempotent: true}, fail(consumers.Unsure), 1, "sent", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			p := newProvider(func(_ context.Context, d *consumers.Delivery, times int) (consumers.Receipt, error) {
				if times <= c.times {
					return consumers.Receipt{}, c.err
				}
				return consumers.Receipt{}, nil
			})
			p.can = c.can
			l := w.ledger(func(cfg *ledger.Config) {
				only(consumers.SMS, p)(cfg)
				cfg.Attempts = 4
			})
			pl := plan("s1", "e1", 0, "g1")
			_, err := l.Commit(t.Context(), []consumers.Planning{pl})
			require.NoError(t, err)
			run(t, l)
			w.eventually(map[string]int{c.state: 1})
			require.Equal(t, c.asked, p.times(pl.Deliveries[0].ID))
		})
	}
}

func TestVersionsOfSettingsAreLimited(t *testing.T) {
	t.Parallel()
	w := setup(t)
	settings := ledger.NewSettings(w.pool)
	change := func(school string, budget int64) error {
		return settings.Set(t.Context(), &consumers.Settings{School: school, Budget: budget}, "ada")
	}
	for i := range ledger.MaxVersions {
		require.NoError(t, change("s1", int64(i)))
	}
	require.ErrorIs(t, change("s1", -1), ledger.ErrTooManyVersions)
	require.NoError(t, change("s2", 1), "another school")
	now, err := settings.Current(t.Context(), "s1")
	require.NoError(t, err)
	require.EqualValues(t, ledger.MaxVersions, now.Version)
}

func TestStaleSettingsCannotBeReplaced(t *testing.T) {
	t.Parallel()
	w := setup(t)
	settings := ledger.NewSettings(w.pool)
	now, err := settings.Current(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, &consumers.Settings{School: "s1"}, now)
	version, err := settings.Replace(t.Context(), &consumers.Settings{School: "s1", Name: "Oak"}, now.Version, "me")
	require.NoError(t, err)
	require.EqualValues(t, 1, version)
	_, err = settings.Replace(t.Context(), &consumers.Settings{School: "s1", Name: "Elm"}, now.Version, "you")
	require.ErrorIs(t, err, ledger.ErrStale)
	require.NoError(t, settings.Set(t.Context(), &consumers.Settings{School: "s1", Name: "Ash"}, "anybody"))
	now, err = settings.Current(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, &consumers.Settings{School: "s1", Version: 2, Name: "Ash"}, now)
	planned, err := settings.At(t.Context(), "s1", time.Now())
	require.NoError(t, err)
	require.Equal(t, now, planned)
}
