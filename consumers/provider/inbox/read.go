package inbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Page is a part of an inbox, the newest messages first.
type Page struct {
	Messages []Message `json:"messages"`
	Unread   int       `json:"unread" doc:"How many messages of the whole inbox have not been read"`
	Next     string    `json:"next,omitzero" doc:"Pass it as after to get older ones; absent on the last page"`
}

// Message is a message of an inbox.
type Message struct {
	ID        string    `json:"id" doc:"The id of the delivery"`
	Kind      string    `json:"kind" doc:"What it is about, for example absence"`
	Title     string    `json:"title"`
	Body      string    `json:"body"`
	Language  string    `json:"language" doc:"BCP 47"`
	Direction string    `json:"direction" enum:"ltr,rtl" doc:"The direction of its text"`
	Document  string    `json:"document,omitzero" doc:"A link to its document, which works without a token until it expires"`
	At        time.Time `json:"at" doc:"When it arrived"`
	ReadAt    time.Time `json:"read_at,omitzero" doc:"Absent until it has been read"`
}

// Query selects messages.
type Query struct {
	School, User string
	Unread       bool   // only unread ones
	After        string // the Next of the page before
	Limit        int
	// About are the students of whom the user may hear; nil: of all. Messages about others are left
	// out.
	About []string
	Link  func(hash string) string // makes the address of a document; nil for none
}

// ErrCursor reports an After that is not the Next of a page.
var ErrCursor = errors.New("invalid cursor: want the next of a page")

// Read returns a part of an inbox. The transaction must see the user's rows.
func Read(ctx context.Context, tx pgx.Tx, q Query) (*Page, error) {
	at, id, err := parseCursor(q.After)
	if err != nil {
		return nil, err
	}
	page := &Page{}
	if err := tx.QueryRow(ctx,
		`SELECT count(*) FROM schoolbell.inbox WHERE school = $1 AND user_id = $2 AND read_at IS NULL
			AND (student = '' OR $3::text[] IS NULL OR student = ANY ($3))`,
		q.School, q.User, q.About).Scan(&page.Unread); err != nil {
		return nil, fmt.Errorf("count unread messages: %w", err)
	}
	condition := ""
	if q.Unread {
		condition = "AND read_at IS NULL"
	}
	rows, err := tx.Query(ctx, `
		SELECT delivery_id, kind, title, body, language, right_left, document, at, coalesce(read_at, '0001-01-01Z') FROM schoolbell.inbox
		WHERE school = $1 AND user_id = $2 AND (at, delivery_id) < ($3, $4)
			AND (student = '' OR $6::text[] IS NULL OR student = ANY ($6)) `+condition+`
		ORDER BY at DESC, delivery_id DESC LIMIT $5`, q.School, q.User, at, id, q.Limit+1, q.About)
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	if page.Messages, err = pgx.CollectRows(rows, q.message); err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	if len(page.Messages) > q.Limit {
		page.Messages = page.Messages[:q.Limit]
		last := page.Messages[q.Limit-1]
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.At.UnixMicro(), 10) + " " + last.ID))
	}
	return page, nil
}

// message reads a row.
func (q *Query) message(row pgx.CollectableRow) (Message, error) {
	m := Message{Direction: "ltr"}
	var rightToLeft bool
	var hash string
	err := row.Scan(&m.ID, &m.Kind, &m.Title, &m.Body, &m.Language, &rightToLeft, &hash, &m.At,
		&m.ReadAt)
	if rightToLeft {
		m.Direction = "rtl"
	}
	if hash != "" && q.Link != nil {
		m.Document = q.Link(hash)
	}
	m.At, m.ReadAt = m.At.UTC(), m.ReadAt.UTC()
	return m, err
}

// parseCursor parses the Next of a page: the time and id of its last message. Without one it is
// after everything.
func parseCursor(s string) (at time.Time, id string, err error) {
	if s == "" {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	micros, id, ok := strings.Cut(string(raw), " ")
	n, numberErr := strconv.ParseInt(micros, 10, 64)
	if err != nil || numberErr != nil || !ok || n < 0 || n > 1<<53 || strings.ContainsRune(id, 0) {
		return time.Time{}, "", ErrCursor
	}
	return time.UnixMicro(n).UTC(), id, nil
}

// MarkRead marks a message as read, and reports whether it exists. Marking it again changes
// nothing: the first time stays.
func MarkRead(ctx context.Context, tx pgx.Tx, school, user, id string) (found bool, err error) {
	tag, err := tx.Exec(ctx, `
		UPDATE schoolbell.inbox SET read_at = coalesce(read_at, clock_timestamp()) WHERE school = $1 AND user_id = $2 AND delivery_id = $3`,
		school, user, id)
	if err != nil {
		return false, fmt.Errorf("mark message as read: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// MarkAllRead marks all messages of a user as read.
func MarkAllRead(ctx context.Context, tx pgx.Tx, school, user string) error {
	if _, err := tx.Exec(ctx, `
		UPDATE schoolbell.inbox SET read_at = clock_timestamp() WHERE school = $1 AND user_id = $2 AND read_at IS NULL`, school, user); err != nil {
		return fmt.Errorf("mark messages as read: %w", err)
	}
	return nil
}
