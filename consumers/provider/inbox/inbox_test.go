package inbox_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5/pgxpool"
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
	mux      *http.ServeMux
}

func setup(t *testing.T) *bundle {
	t.Helper()
	pool := jobsPool(t)
	book, err := wording.Open()
	require.NoError(t, err)
	api := &inbox.API{
		Pool: pool, Log: slog.New(slog.DiscardHandler),
		User: func(r *http.Request) string { return r.Header.Get("User") },
		Link: func(hash string) string { return "https://oak.example/" + hash },
	}
	b := &bundle{t, inbox.New(pool, provider.Writer{Book: book}), http.NewServeMux()}
	b.mux.HandleFunc("GET /v1/schools/{school}/inbox", api.List)
	b.mux.HandleFunc("POST /v1/schools/{school}/inbox/{id}/read", api.Read)
	b.mux.HandleFunc("POST /v1/schools/{school}/inbox/read", api.ReadAll)
	return b
}

func jobsPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: devtest.Postgres(t), Role: postgres.Jobs, MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool.Conns()
}

func delivery(id, school, user string) *consumers.Delivery {
	return &consumers.Delivery{
		ID: id, School: school, Recipient: user, Channel: consumers.InApp, Language: "en", Template: wording.Announcement,
		Params: wording.Facts{Sender: "Oak", Title: "Title " + id, Body: "Body " + id}.Params(),
	}
}

func (b *bundle) ask(user, method, path string, into any) int {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, "/v1/schools/"+path, nil)
	r.Header.Set("User", user)
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	if into != nil {
		require.NoError(b.t, json.Unmarshal(w.Body.Bytes(), into), w.Body.String())
	}
	return w.Code
}

func TestInbox(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := []*consumers.Delivery{
		delivery("d1", "oak", "g1"), delivery("d2", "oak", "g1"), delivery("d3", "oak", "g2"), delivery("d4", "elm", "g1"), delivery("d5", "oak", "g1"),
	}
	batch[1].Language, batch[1].Document = "ar", &consumers.Document{SHA256: "abc"}
	batch[4].Template = "nonsense"
	answers := b.provider.SendBatch(t.Context(), batch)
	for _, a := range answers[:4] {
		require.NoError(t, a.Err)
		require.Equal(t, consumers.Delivered, a.Receipt.State)
	}
	require.ErrorContains(t, answers[4].Err, "nonsense", "one that cannot be written does not hold up the others")
	_, err := b.provider.Send(t.Context(), batch[0]) // once more, after an answer that got lost
	require.NoError(t, err)

	var page inbox.Page
	require.Equal(t, http.StatusOK, b.ask("g1", http.MethodGet, "oak/inbox", &page))
	require.Equal(t, 2, page.Unread)
	require.Len(t, page.Messages, 2, "each once, and nobody else's")
	byID := map[string]inbox.Message{}
	for _, m := range page.Messages {
		byID[m.ID] = m
	}
	require.Equal(t, "Title d1", byID["d1"].Title)
	require.Equal(t, "Body d1", byID["d1"].Body)
	require.Equal(t, "rtl", byID["d2"].Direction)
	require.Equal(t, "https://oak.example/abc", byID["d2"].Document)

	require.Equal(t, http.StatusNoContent, b.ask("g1", http.MethodPost, "oak/inbox/d1/read", nil))
	require.Equal(t, http.StatusNoContent, b.ask("g1", http.MethodPost, "oak/inbox/d1/read", nil), "twice is once")
	for _, path := range []string{"oak/inbox/d3/read", "elm/inbox/d3/read", "oak/inbox/d9/read"} {
		require.Equal(t, http.StatusNotFound, b.ask("g1", http.MethodPost, path, nil), path)
	}
	page = inbox.Page{}
	b.ask("g1", http.MethodGet, "oak/inbox?unread=true", &page)
	require.Equal(t, 1, page.Unread)
	require.Equal(t, "d2", page.Messages[0].ID)
	require.Equal(t, http.StatusNoContent, b.ask("g1", http.MethodPost, "oak/inbox/read", nil))
	page = inbox.Page{}
	b.ask("g1", http.MethodGet, "oak/inbox", &page)
	require.Zero(t, page.Unread)
	require.False(t, page.Messages[0].ReadAt.IsZero())
	page = inbox.Page{}
	b.ask("g2", http.MethodGet, "oak/inbox", &page)
	require.Equal(t, 1, page.Unread, "what others have read is not read")
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var batch []*consumers.Delivery
	for i := range 25 {
		batch = append(batch, delivery(fmt.Sprintf("d%02d", i), "oak", "g1"))
	}
	b.provider.SendBatch(t.Context(), batch[:20]) // all of them at one time, or nearly
	b.provider.SendBatch(t.Context(), batch[20:])
	seen, after := map[string]bool{}, ""
	for range 4 {
		var page inbox.Page
		require.Equal(t, http.StatusOK, b.ask("g1", http.MethodGet, "oak/inbox?limit=7&after="+after, &page))
		for _, m := range page.Messages {
			require.False(t, seen[m.ID])
			seen[m.ID] = true
		}
		after = page.Next
	}
	require.Len(t, seen, 25)
	require.Empty(t, after)
	for _, bad := range []string{"limit=0", "limit=101", "limit=x", "after=!", "after=" + strings.Repeat("A", 9)} {
		var problem struct{ Detail string }
		require.Equal(t, http.StatusUnprocessableEntity, b.ask("g1", http.MethodGet, "oak/inbox?"+bad, nil), bad)
		b.ask("g1", http.MethodGet, "oak/inbox?"+bad, &problem)
	}
}
