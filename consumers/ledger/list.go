package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
)

// Entry is a delivery as operators see it. The cost is in millionths of the provider's currency.
type Entry struct {
	ID         string              `json:"id"`
	School     string              `json:"school"`
	EventID    string              `json:"event_id"`
	EventType  string              `json:"event_type"`
	Position   domain.LogPosition  `json:"position"`
	Planner    string              `json:"planner"`
	Recipient  string              `json:"recipient"`
	Channel    consumers.Channel   `json:"channel"`
	Queue      string              `json:"queue"`
	Priority   consumers.Priority  `json:"priority"`
	Template   string              `json:"template"`
	Language   string              `json:"language,omitzero"`
	State      consumers.State     `json:"state"`
	Attempts   int                 `json:"attempts"`
	Provider   string              `json:"provider,omitzero"`
	ProviderID string              `json:"provider_id,omitzero"`
	Cost       int64               `json:"cost,omitzero"`
	Error      string              `json:"error,omitzero"`
	Class      string              `json:"error_class,omitzero"`
	PlannedAt  time.Time           `json:"planned_at"`
	NotBefore  *time.Time          `json:"not_before,omitzero"`
	StartedAt  *time.Time          `json:"started_at,omitzero"`
	ChangedAt  time.Time           `json:"changed_at"`
	Params     jsontext.Value      `json:"params,omitzero"`
	Document   *consumers.Document `json:"document,omitzero"`
	Log        []LogLine           `json:"log,omitzero"` // only from Show
}

// LogLine is one thing that happened to a delivery.
type LogLine struct {
	At     time.Time `json:"at"`
	Start  int64     `json:"start"` // the start of the delivery that it belongs to, from 1
	What   string    `json:"what"`
	Detail string    `json:"detail,omitzero"`
	TookMS int       `json:"took_ms,omitzero"`
	Worker string    `json:"worker,omitzero"`
}

// Filter selects deliveries; an empty field matches all.
type Filter struct {
	School  string
	State   consumers.State
	Queue   string
	EventID string
	Planner string
	After   string // the id of the last delivery of the page before
	Limit   int    // 100 if zero
}

const entryColumns = `id, school, event_id, event_type, partition, log_offset, planner,
	recipient, channel, queue, priority, template, language, state, attempts, provider, provider_id,
	cost, error, error_class, planned_at, not_before, started_at, changed_at, params, document`

func (l *Ledger) scanEntry(row pgx.CollectableRow) (*Entry, error) {
	e := &Entry{Position: l.cfg.LogID.At(domain.Position{})}
	var params, doc []byte
	err := row.Scan(&e.ID, &e.School, &e.EventID, &e.EventType, &e.Position.Partition,
		&e.Position.Offset, &e.Planner, &e.Recipient, &e.Channel, &e.Queue, &e.Priority, &e.Template, &e.Language, &e.State,
		&e.Attempts, &e.Provider, &e.ProviderID, &e.Cost, &e.Error, &e.Class, &e.PlannedAt,
		&e.NotBefore, &e.StartedAt, &e.ChangedAt, &params, &doc)
	if err != nil {
		return nil, err
	}
	e.Params = params
	if doc != nil {
		return e, json.Unmarshal(doc, &e.Document)
	}
	return e, nil
}

// List returns deliveries, the latest first. It reads those of each school along their index; the
// few dead or unknown ones have a list of their own. Only a filter on another state that is rare
// may have to read a lot.
func (l *Ledger) List(ctx context.Context, f Filter) ([]*Entry, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	sql, args := f.query()
	rows, _ := l.pool.Query(ctx, sql, args...)
	entries, err := pgx.CollectRows(rows, l.scanEntry)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return entries, nil
}

// allSchools skips through the index from school to school: a DISTINCT would read all of it.
const allSchools = `
WITH RECURSIVE schools (school) AS (
	SELECT min(school) FROM schoolbell.ledger
	UNION ALL
	SELECT (SELECT l.school FROM schoolbell.ledger l
		WHERE l.school > s.school ORDER BY l.school LIMIT 1)
	FROM schools s WHERE s.school IS NOT NULL
)
SELECT e.* FROM schools s CROSS JOIN LATERAL (%s) e
ORDER BY planned_at DESC, id DESC LIMIT $1`

func (f *Filter) query() (sql string, args []any) {
	args = []any{f.Limit}
	where := "true"
	add := func(condition, value string) {
		if value != "" {
			args = append(args, value)
			where += fmt.Sprintf(" AND "+condition, len(args))
		}
	}
	problem := f.State == consumers.Dead || f.State == consumers.Unknown
	if problem {
		add(`id IN (SELECT t.id FROM schoolbell.ledger_trouble t WHERE t.state = $%d)`,
			string(f.State))
	}
	add(`school = $%d`, f.School)
	add(`state = $%d`, string(f.State))
	add(`queue = $%d`, f.Queue)
	add(`event_id = $%d`, f.EventID)
	add(`planner = $%d`, f.Planner)
	add(`(planned_at, id) < (SELECT planned_at, id FROM schoolbell.ledger WHERE id = $%d)`,
		f.After)
	if f.School != "" || problem {
		return `SELECT ` + entryColumns + ` FROM schoolbell.ledger WHERE ` + where +
			` ORDER BY planned_at DESC, id DESC LIMIT $1`, args
	}
	return fmt.Sprintf(allSchools, `SELECT `+entryColumns+
		` FROM schoolbell.ledger WHERE school = s.school AND `+where+
		` ORDER BY planned_at DESC, id DESC LIMIT $1`), args
}

// Show returns one delivery with its log.
func (l *Ledger) Show(ctx context.Context, id string) (*Entry, error) {
	rows, _ := l.pool.Query(ctx, `SELECT `+entryColumns+` FROM schoolbell.ledger WHERE id = $1`, id)
	e, err := pgx.CollectExactlyOneRow(rows, l.scanEntry)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("delivery %s: %w", id, consumers.ErrUnknownDelivery)
	}
	if err != nil {
		return nil, fmt.Errorf("read delivery %s: %w", id, err)
	}
	rows, _ = l.pool.Query(ctx, `
		SELECT at, fence, what, detail, took_ms, worker FROM schoolbell.ledger_log
		WHERE delivery_id = $1 ORDER BY at`, id)
	if e.Log, err = pgx.CollectRows(rows, pgx.RowToStructByPos[LogLine]); err != nil {
		return nil, fmt.Errorf("read the log of delivery %s: %w", id, err)
	}
	return e, nil
}

// FindByProviderID returns a function that finds the delivery with a provider's id for it, "" when
// there is none. Providers need it before there is a ledger, which is made with them.
func FindByProviderID(
	pool *pgxpool.Pool,
) func(ctx context.Context, provider, providerID string) (id string, err error) {
	return func(ctx context.Context, provider, providerID string) (id string, err error) {
		err = pool.QueryRow(ctx, `
			SELECT coalesce(max(id), '') FROM schoolbell.ledger
			WHERE provider = $1 AND provider_id = $2 AND provider_id <> ''`, provider, providerID).
			Scan(&id)
		if err != nil {
			return "", fmt.Errorf("find delivery %s of provider %s: %w", providerID, provider, err)
		}
		return id, nil
	}
}
