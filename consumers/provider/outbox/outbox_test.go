package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/budget"
	"github.com/schoolbell/schoolbell/consumers/provider/outbox"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestOutbox(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	pool := devtest.Pool(t, url, postgres.Jobs)
	catalog, err := wording.Open()
	require.NoError(t, err)
	p := outbox.New(pool.Conns(), provider.Writer{Catalog: catalog})
	d := &consumers.Delivery{
		ID: "d1", School: "oak", Recipient: "g1", Channel: consumers.SMS, Address: "+15125550101",
		Sender: "OAK", Language: "en", Template: wording.Absence,
		Params: wording.Params{
			Sender: "Oak", Student: "Ada King", Date: domain.NewDate(2026, 9, 1),
			Session: "day",
		}.Encode(),
	}
	for range 2 {
		r, err := p.Send(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, consumers.Receipt{State: consumers.Sent, ProviderID: "d1", Segments: 1}, r)
	}
	mail := *d
	mail.ID, mail.Channel, mail.Address = "d2", consumers.Email, "anne@home.example"
	other := mail
	other.ID, other.School = "d3", "elm"
	for _, a := range p.SendBatch(t.Context(), []*consumers.Delivery{&mail, &other}) {
		require.NoError(t, a.Err)
	}

	api := devtest.Pool(t, url, postgres.API)
	require.NoError(t, api.Read(t.Context(), "oak", func(tx pgx.Tx) error {
		list, err := outbox.Latest(t.Context(), tx, "oak", "", 10)
		require.NoError(t, err)
		require.Len(t, list, 2, "each once, and only the school's")
		require.Equal(t, "Ada King was absent", list[0].Title)
		require.Equal(t,
			"Oak: Ada King was absent without an excuse on Tuesday 1 September 2026. Please contact the school.", list[1].Body)
		require.Equal(t, "+15125550101", list[1].Address)
		require.Equal(t, 1, list[1].Segments)
		return nil
	}))
}

// constant are the settings of every school.
type constant consumers.Settings

func (d *constant) At(context.Context, string, time.Time) (*consumers.Settings, error) {
	return (*consumers.Settings)(d), nil
}

// What the school's budget would have stopped is not in its outbox.
func TestOutboxWithinABudget(t *testing.T) {
	t.Parallel()
	pool := devtest.Pool(t, devtest.Postgres(t), postgres.Jobs)
	catalog, err := wording.Open()
	require.NoError(t, err)
	p := budget.Limit(outbox.New(pool.Conns(), provider.Writer{Catalog: catalog}), pool.Conns(),
		&constant{Budget: 2}, budget.Limits{}, nil)
	require.Equal(t, "outbox", p.Name())
	require.True(t, p.Abilities().Idempotent)
	send := func(id string) error {
		_, err := p.Send(t.Context(), &consumers.Delivery{
			ID: id, School: "oak", Recipient: "g1", Channel: consumers.SMS, Address: "+15125550101",
			Language: "en", Template: wording.Absence,
			Params: wording.Params{
				Sender: "Oak", Student: "Ada King",
				Date: domain.NewDate(2026, 9, 1), Session: "day",
			}.Encode(),
		})
		return err
	}
	for _, id := range []string{"a", "b", "a"} {
		require.NoError(t, send(id))
	}
	var refused *consumers.SendError
	require.ErrorAs(t, send("c"), &refused)
	require.Equal(t, "budget", refused.Code)
	var stored int
	require.NoError(t, pool.Conns().QueryRow(t.Context(),
		"SELECT count(*) FROM schoolbell.outbox").Scan(&stored))
	require.Equal(t, 2, stored)
}
