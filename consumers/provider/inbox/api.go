package inbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// API lets users read their inboxes. Who asks, and that they belong to the school, has been found out before.
type API struct {
	Pool *pgxpool.Pool // in the role schoolbell_jobs
	// User returns the id of the user who asks.
	User func(*http.Request) string
	// Link makes an address for a document, by its hash; nil makes none.
	Link func(hash string) string
	Log  *slog.Logger
}

// Page is a part of an inbox, the newest messages first.
type Page struct {
	Messages []Message `json:"messages"`
	Unread   int       `json:"unread"`         // in the whole inbox
	Next     string    `json:"next,omitempty"` // the value of after for the next page
}

// Message is one of an inbox.
type Message struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"` // as in "absence"
	Title     string    `json:"title"`
	Body      string    `json:"body"`
	Language  string    `json:"language"`
	Direction string    `json:"direction"` // ltr or rtl
	Document  string    `json:"document,omitempty"`
	At        time.Time `json:"at"`
	ReadAt    time.Time `json:"read_at,omitzero"`
}

// The limits on a page.
const (
	defaultLimit = 20
	maxLimit     = 100
)

var errInput = errors.New("input means nothing")

// List answers GET /v1/schools/{school}/inbox?after=&limit=&unread=true.
func (a *API) List(w http.ResponseWriter, r *http.Request) {
	page, err := a.list(r.Context(), r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-store")
	_ = json.MarshalWrite(w, page) // the client may be gone
}

func (a *API) list(ctx context.Context, r *http.Request) (*Page, error) {
	query := r.URL.Query()
	limit := defaultLimit
	if v := query.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLimit {
			return nil, fmt.Errorf("%w: limit must be from 1 to %d", errInput, maxLimit)
		}
		limit = n
	}
	unread := query.Get("unread") == "true"
	at, id, err := cursor(query.Get("after"))
	if err != nil {
		return nil, err
	}
	page := &Page{Messages: []Message{}}
	school, user := r.PathValue("school"), a.User(r)
	err = pgx.BeginTxFunc(ctx, a.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM schoolbell.inbox WHERE school = $1 AND user_id = $2 AND read_at IS NULL`,
			school, user).Scan(&page.Unread); err != nil {
			return err
		}
		statement := `
			SELECT delivery_id, kind, title, body, language, right_left, document, at, coalesce(read_at, '0001-01-01Z') FROM schoolbell.inbox
			WHERE school = $1 AND user_id = $2 AND (at, delivery_id) < ($3, $4) %s
			ORDER BY at DESC, delivery_id DESC LIMIT $5`
		condition := ""
		if unread {
			condition = "AND read_at IS NULL"
		}
		rows, err := tx.Query(ctx, fmt.Sprintf(statement, condition), school, user, at, id, limit+1)
		if err != nil {
			return err
		}
		page.Messages, err = pgx.CollectRows(rows, a.message)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	if len(page.Messages) > limit {
		page.Messages = page.Messages[:limit]
		last := page.Messages[limit-1]
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.At.UnixMicro(), 10) + " " + last.ID))
	}
	return page, nil
}

func (a *API) message(row pgx.CollectableRow) (Message, error) {
	m := Message{Direction: "ltr"}
	var rightLeft bool
	var hash string
	err := row.Scan(&m.ID, &m.Kind, &m.Title, &m.Body, &m.Language, &rightLeft, &hash, &m.At, &m.ReadAt)
	if rightLeft {
		m.Direction = "rtl"
	}
	if hash != "" && a.Link != nil {
		m.Document = a.Link(hash)
	}
	m.At, m.ReadAt = m.At.UTC(), m.ReadAt.UTC()
	return m, err
}

// cursor reads what a page called next. Without one it is after everything.
func cursor(s string) (at time.Time, id string, err error) {
	if s == "" {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	micros, id, ok := strings.Cut(string(raw), " ")
	n, numberErr := strconv.ParseInt(micros, 10, 64)
	if err != nil || numberErr != nil || !ok || n < 0 || n > 1<<53 || strings.ContainsRune(id, 0) {
		return time.Time{}, "", fmt.Errorf("%w: after is not what a page called next", errInput)
	}
	return time.UnixMicro(n).UTC(), id, nil
}

// Read answers POST /v1/schools/{school}/inbox/{id}/read: a message has been read. To say so again changes nothing.
func (a *API) Read(w http.ResponseWriter, r *http.Request) {
	tag, err := a.Pool.Exec(r.Context(), `
		UPDATE schoolbell.inbox SET read_at = coalesce(read_at, clock_timestamp()) WHERE school = $1 AND user_id = $2 AND delivery_id = $3`,
		r.PathValue("school"), a.User(r), r.PathValue("id"))
	switch {
	case err != nil:
		a.fail(w, r, fmt.Errorf("mark message as read: %w", err))
	case tag.RowsAffected() == 0:
		a.problem(w, http.StatusNotFound, "there is no such message in your inbox")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// ReadAll answers POST /v1/schools/{school}/inbox/read: all messages have been read.
func (a *API) ReadAll(w http.ResponseWriter, r *http.Request) {
	_, err := a.Pool.Exec(r.Context(), `
		UPDATE schoolbell.inbox SET read_at = clock_timestamp() WHERE school = $1 AND user_id = $2 AND read_at IS NULL`,
		r.PathValue("school"), a.User(r))
	if err != nil {
		a.fail(w, r, fmt.Errorf("mark messages as read: %w", err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errInput) {
		a.problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	a.Log.ErrorContext(r.Context(), "answer about an inbox", "error", err)
	w.Header().Set("Retry-After", "5")
	a.problem(w, http.StatusServiceUnavailable, "the inbox cannot be reached")
}

// problem writes an error as RFC 9457 wants it.
func (a *API) problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, map[string]any{"title": http.StatusText(status), "status": status, "detail": detail}) // the client may be gone
}
