package pdf

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain"
	rendered "github.com/schoolbell/schoolbell/domain/document"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections/deliveries"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/query"
)

// hiccup fails the first write.
type hiccup struct {
	document.Blobs
	failed atomic.Bool
}

func (h *hiccup) Write(ctx context.Context, name string, body []byte) error {
	if h.failed.CompareAndSwap(false, true) {
		return errors.New("no space left")
	}
	return h.Blobs.Write(ctx, name, body)
}

// messenger records the links that it would send.
type messenger struct {
	link func(context.Context, *consumers.Delivery) (string, error)
	sent chan string
}

func (*messenger) Name() string                   { return "messenger" }
func (*messenger) Abilities() consumers.Abilities { return consumers.Abilities{Idempotent: true} }

func (m *messenger) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	link, err := m.link(ctx, d)
	if err == nil {
		m.sent <- link
	}
	return consumers.Receipt{State: consumers.Sent}, err
}

// A payment leads to a receipt, and then to a message with its link; the store fails at first. The
// delivery's history shows all of it.
func TestP5_AReceiptIsRenderedStoredAndLinked(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	dir, err := document.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	store := document.NewStore(&hiccup{Blobs: dir})
	links, err := document.NewLinks("https://school.example", make([]byte, document.MinKey))
	require.NoError(t, err)
	provider, err := NewProvider(Config{Store: store})
	require.NoError(t, err)
	messenger := &messenger{link: Link(links), sent: make(chan string, 10)}

	pool := devtest.Pool(t, url, postgres.Jobs)
	log := memlog.New(1)
	l, err := ledger.New(ledger.Config{
		Pool: pool.Conns(), Encode: cloudevents.Encode, Log: log, Source: log, Decode: cloudevents.Decode, RetryMin: 10 * time.Millisecond,
		RetryMax: 50 * time.Millisecond,
		Providers: map[consumers.Channel]consumers.Provider{
			consumers.PDF:   provider,
			consumers.InApp: messenger,
		},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })

	event := &domain.Envelope{
		ID: "p1", Source: "bank", School: "oak", Type: fee.TypePaymentReceived, Time: time.Now(),
		Position: domain.Position{Offset: 7},
	}
	paid := consumers.Delivery{
		Channel: consumers.PDF, Recipient: "student-0007",
		Template: paper.KindReceipt, Language: "fr", Params: paper.Encode(receipt()),
	}
	paid.Complete(event, "receipt")
	notice := consumers.Delivery{
		Channel: consumers.InApp, Recipient: "g1", Template: "receipt",
		DependsOn: paid.ID,
	}
	notice.Complete(event, "receipt")
	_, err = l.Commit(t.Context(), []consumers.Planning{{
		Event: consumers.Event{Envelope: event, AppendedAt: event.Time}, FactsAt: 7,
		Deliveries: []consumers.Delivery{notice, paid},
	}})
	require.NoError(t, err)

	link := <-messenger.sent
	handler, err := document.NewHandler(document.Config{Store: store, Links: links})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(document.Pattern, handler)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, link, nil))
	file, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.Code, string(file))
	require.Contains(t, read(t, file), "PAY-2026-000917")

	var fact *rendered.Rendered
	require.Eventually(t, func() bool {
		batch, err := log.Fetch(t.Context(), 0, 0, 1<<20, 0)
		require.NoError(t, err)
		for _, r := range batch.Records {
			e, err := cloudevents.Decode(r)
			require.NoError(t, err)
			if f, ok := e.Data.(*rendered.Rendered); ok {
				require.Equal(t, "p1", e.CausationID)
				fact = f
			}
		}
		return len(batch.Records) >= 2
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, &rendered.Rendered{
		DocumentID: paid.ID, Kind: paper.KindReceipt, StudentID: "student-0007",
		SHA256: fact.SHA256, Bytes: int64(len(file)),
	}, fact)
	require.Contains(t, link, fact.SHA256)

	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	projtest.As(t, tx, "oak")
	history := projtest.Get(tx, query.Scope{School: "oak"}, deliveries.Queries,
		"/deliveries/"+paid.ID)
	require.Contains(t, history, `"status": "rendered"`)
	require.Contains(t, history, `"attempts": 2`)
	require.Contains(t, history, "no space left")
	ofEvent := projtest.Get(tx, query.Scope{School: "oak"}, deliveries.Queries,
		"/deliveries?event=p1")
	require.Contains(t, ofEvent, paid.ID)
	require.Contains(t, ofEvent, notice.ID)
}
