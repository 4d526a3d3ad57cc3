package inbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/inbox"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

type bundle struct {
	t        *testing.T
	provider *inbox.Provider
	users    *postgres.Pool // as the API reads
}

func setup(t *testing.T) *bundle {
	t.Helper()
	url := devtest.Postgres(t)
	catalog, err := wording.Open()
	require.NoError(t, err)
	return &bundle{t, inbox.New(devtest.Pool(t, url, postgres.Jobs).Conns(),
		provider.Writer{Catalog: catalog}), devtest.Pool(t, url, postgres.API)}
}

func delivery(id, school, user string) *consumers.Delivery {
	return &consumers.Delivery{
		ID: id, School: school, Recipient: user, Channel: consumers.InApp, Language: "en",
		Template: wording.Announcement,
		Params:   wording.Params{Sender: "Oak", Title: "Title " + id, Body: "Body " + id}.Encode(),
	}
}

// as runs a function as a user.
func (b *bundle) as(school, user string, do func(ctx context.Context, tx pgx.Tx) error) {
	b.t.Helper()
	require.NoError(b.t,
		b.users.AsUser(b.t.Context(), school, user,
			func(tx pgx.Tx) error { return do(b.t.Context(), tx) }))
}

func (b *bundle) read(school, user string, change func(*inbox.Query)) (page *inbox.Page) {
	b.t.Helper()
	b.as(school, user, func(ctx context.Context, tx pgx.Tx) (err error) {
		q := inbox.Query{
			School: school, User: user, Limit: 20,
			Link: func(hash string) string { return "https://oak.example/" + hash },
		}
		if change != nil {
			change(&q)
		}
		page, err = inbox.Read(ctx, tx, q)
		return err
	})
	return page
}

func (b *bundle) mark(school, user, id string) (found bool) {
	b.t.Helper()
	b.as(school, user, func(ctx context.Context, tx pgx.Tx) (err error) {
		found, err = inbox.MarkRead(ctx, tx, school, user, id)
		return err
	})
	return found
}

func TestInbox(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := []*consumers.Delivery{
		delivery("d1", "oak", "g1"), delivery("d2", "oak", "g1"), delivery("d3", "oak", "g2"),
		delivery("d4", "elm", "g1"), delivery("d5", "oak", "g1"),
	}
	batch[1].Language, batch[1].Document = "ar", &consumers.Document{SHA256: "abc"}
	batch[4].Template = "nonsense"
	results := b.provider.SendBatch(t.Context(), batch)
	for _, a := range results[:4] {
		require.NoError(t, a.Err)
		require.Equal(t, consumers.Delivered, a.Receipt.State)
	}
	require.ErrorContains(t, results[4].Err, "nonsense",
		"one that cannot be written does not delay the others")
	_, err := b.provider.Send(t.Context(), batch[0]) // again, after a lost response
	require.NoError(t, err)

	page := b.read("oak", "g1", nil)
	require.Equal(t, 2, page.Unread)
	require.Len(t, page.Messages, 2, "each once, and no other user's")
	byID := map[string]inbox.Message{}
	for _, m := range page.Messages {
		byID[m.ID] = m
	}
	require.Equal(t, "Title d1", byID["d1"].Title)
	require.Equal(t, "Body d1", byID["d1"].Body)
	require.Equal(t, "rtl", byID["d2"].Direction)
	require.Equal(t, "https://oak.example/abc", byID["d2"].Document)

	require.True(t, b.mark("oak", "g1", "d1"))
	require.True(t, b.mark("oak", "g1", "d1"), "marking it again is harmless")
	require.False(t, b.mark("oak", "g1", "d3"))
	require.False(t, b.mark("elm", "g1", "d1"))
	require.False(t, b.mark("oak", "g1", "d9"))
	page = b.read("oak", "g1", func(q *inbox.Query) { q.Unread = true })
	require.Equal(t, 1, page.Unread)
	require.Equal(t, "d2", page.Messages[0].ID)
	b.as("oak", "g1", func(ctx context.Context, tx pgx.Tx) error {
		return inbox.MarkAllRead(ctx, tx,
			"oak", "g1")
	})
	page = b.read("oak", "g1", nil)
	require.Zero(t, page.Unread)
	require.False(t, page.Messages[0].ReadAt.IsZero())
	require.Equal(t, 1, b.read("oak", "g2", nil).Unread, "another user's messages stay unread")
}

func TestP10_ATransactionSeesItsOwnUsersInbox(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provider.SendBatch(t.Context(),
		[]*consumers.Delivery{
			delivery("d1", "oak", "g1"), delivery("d2", "oak", "g2"),
			delivery("d3", "elm", "g1"),
		})
	count := func(tx pgx.Tx) (ids []string) {
		rows, _ := tx.Query(t.Context(), `SELECT delivery_id FROM inbox ORDER BY 1`)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return ids
	}
	b.as("oak", "g1", func(ctx context.Context, tx pgx.Tx) error {
		require.Equal(t, []string{"d1"}, count(tx), "even without a condition in the statement")
		tag, err := tx.Exec(ctx, `UPDATE inbox SET read_at = now()`)
		require.EqualValues(t, 1, tag.RowsAffected())
		return err
	})
	require.NoError(t, b.users.Read(t.Context(), "oak", func(tx pgx.Tx) error {
		require.Empty(t, count(tx), "without a user there is nothing")
		return nil
	}))
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var batch []*consumers.Delivery
	for i := range 25 {
		batch = append(batch, delivery(fmt.Sprintf("d%02d", i), "oak", "g1"))
	}
	b.provider.SendBatch(t.Context(), batch[:20]) // at nearly the same time
	b.provider.SendBatch(t.Context(), batch[20:])
	seen, after := map[string]bool{}, ""
	for range 4 {
		page := b.read("oak", "g1", func(q *inbox.Query) { q.Limit, q.After = 7, after })
		for _, m := range page.Messages {
			require.False(t, seen[m.ID])
			seen[m.ID] = true
		}
		after = page.Next
	}
	require.Len(t, seen, 25)
	require.Empty(t, after)
	for _, bad := range []string{"!", strings.Repeat("A", 9)} {
		err := b.users.AsUser(t.Context(), "oak", "g1", func(tx pgx.Tx) error {
			_, err := inbox.Read(t.Context(), tx,
				inbox.Query{School: "oak", User: "g1", After: bad, Limit: 1})
			return err
		})
		require.ErrorIs(t, err, inbox.ErrCursor)
	}
}
