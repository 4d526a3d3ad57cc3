package imports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/domain"
)

// Bounds of what is stored. The table is no history: that is in the log, as import.applied.
const (
	keepPlan = 7 * 24 * time.Hour // a plan that is not applied
	maxPlans = 10                 // of a school, that are not applied
	maxEnded = 200                // of a school, that are applied or cancelled
)

// State is where an import stands.
type State string

// The states.
const (
	Planned   State = "planned"
	Applying  State = "applying"
	Applied   State = "applied"
	Cancelled State = "cancelled"
)

// Plan is what an import would change, or has changed.
type Plan struct {
	ID        string           `json:"import_id"`
	Source    string           `json:"source" doc:"Of the events that the import makes"`
	State     State            `json:"state" enum:"planned,applying,applied,cancelled"`
	SHA256    string           `json:"sha256" doc:"Of the package, decompressed"`
	Base      domain.Position  `json:"base" doc:"The position of the tables that the package was compared with"`
	On        domain.Date      `json:"on" doc:"The day that the plan is for: what the package no longer has ends on it"`
	Adopt     bool             `json:"adopt" doc:"Rows of other sources end too"`
	Rows      Tally            `json:"rows" doc:"By kind of row"`
	Refused   Refusals         `json:"refused" doc:"Rows that cannot be used"`
	Asks      []Ask            `json:"asks" doc:"Ends that the import does not make unless somebody agrees to their number"`
	Events    map[string]int64 `json:"events" doc:"How many events of each type the import makes"`
	Total     int64            `json:"total" doc:"How many events that are"`
	Written   int64            `json:"written" doc:"How many of them are known to be in the log"`
	CreatedAt time.Time        `json:"created_at"`
	CreatedBy string           `json:"created_by"`
	ExpiresAt time.Time        `json:"expires_at" doc:"When the plan is forgotten, unless it is applied"`
	StartedAt time.Time        `json:"started_at,omitzero" doc:"When it was begun to be applied"`
	AppliedBy string           `json:"applied_by,omitzero"`
	AppliedAt *domain.Position `json:"applied_at,omitempty" doc:"Where the log says that it is applied"`

	CancelledBy string    `json:"cancelled_by,omitzero"`
	CancelledAt time.Time `json:"cancelled_at,omitzero"`
}

// counts are what import.applied says.
func (p *Plan) counts() (added, changed, ended, unchanged int64) {
	for _, n := range p.Rows {
		added, changed = added+n.Added, changed+n.Changed
		ended, unchanged = ended+n.Ended, unchanged+n.Unchanged
	}
	return added, changed, ended, unchanged
}

// stored is a plan with what it was made of, and what is to be written.
type stored struct {
	Plan
	digest          string
	packed, records []byte
}

const insertSQL = `-- imports.insert
INSERT INTO imports (school, import_id, source, state, plan, digest, package, events, created_at,
	expires_at)
VALUES ($1, $2, $3, 'planned', $4, $5, $6, $7, $8, $9)
ON CONFLICT (school, import_id) DO UPDATE SET expires_at = excluded.expires_at
RETURNING state, plan, written`

// insert stores a plan, unless it is there, and forgets those that have expired. A plan that was
// cancelled can be made again.
func insert(ctx context.Context, tx pgx.Tx, school string, s *stored) error {
	doc, err := json.Marshal(&s.Plan, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	if _, err := tx.Exec(ctx, `-- imports.expire
		DELETE FROM imports WHERE school = $1 AND import_id IN (
			SELECT import_id FROM imports WHERE school = $1 AND state = 'planned'
				AND expires_at < $2
			UNION ALL SELECT import_id FROM imports WHERE school = $1 AND state = 'cancelled'
				AND import_id = $5
			UNION ALL (SELECT import_id FROM imports WHERE school = $1 AND state = 'planned'
				ORDER BY created_at DESC OFFSET $3)
			UNION ALL (SELECT import_id FROM imports WHERE school = $1
				AND state IN ('applied', 'cancelled') ORDER BY created_at DESC OFFSET $4))`,
		school, s.CreatedAt, maxPlans-1, maxEnded, s.ID); err != nil {
		return fmt.Errorf("forget expired imports: %w", err)
	}
	var state State
	var was []byte
	var written int64
	if err := tx.QueryRow(ctx, insertSQL, school, s.ID, s.Source, doc, s.digest, s.packed,
		s.records, s.CreatedAt, s.ExpiresAt).Scan(&state, &was, &written); err != nil {
		return fmt.Errorf("store plan: %w", err)
	}
	return s.decode(was, state, written)
}

func (p *Plan) decode(doc []byte, state State, written int64) error {
	if err := json.Unmarshal(doc, p); err != nil {
		return fmt.Errorf("decode plan: %w", err)
	}
	p.State, p.Written = state, written
	return nil
}

const oneSQL = `-- imports.one
SELECT state, plan, written, expires_at, digest, CASE WHEN $4 THEN package ELSE '' END,
	CASE WHEN $4 THEN events ELSE '' END
FROM imports WHERE school = $1 AND import_id = $2 AND (state <> 'planned' OR expires_at >= $3)`

// load reads a plan, whole or only what is shown of it.
func load(
	ctx context.Context, tx pgx.Tx, school, id string, now time.Time, whole bool,
) (*stored, error) {
	var s stored
	var doc []byte
	var state State
	var written int64
	var expires time.Time
	err := tx.QueryRow(ctx, oneSQL, school, id, now, whole).Scan(&state, &doc, &written, &expires,
		&s.digest, &s.packed, &s.records)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("read import %s: %w", id, err)
	}
	err = s.decode(doc, state, written)
	s.ExpiresAt = expires.UTC()
	return &s, err
}

// reload reads how an import stands, which another request has moved on. What it is made of stays
// as it was read, and its end may have removed.
func (s *stored) reload(ctx context.Context, tx pgx.Tx, school string, now time.Time) error {
	other, err := load(ctx, tx, school, s.ID, now, false)
	if err == nil {
		s.Plan = other.Plan
	}
	return err
}

const listSQL = `-- imports.list
SELECT state, plan, written FROM imports
WHERE school = $1 AND (state <> 'planned' OR expires_at >= $2) AND ($4 = '' OR state = $4)
ORDER BY created_at DESC, import_id LIMIT $3`

// listPlans reads the imports of a school in one state, or in all when it is empty.
func listPlans(
	ctx context.Context, tx pgx.Tx, school string, now time.Time, limit int, state State,
) ([]Plan, error) {
	rows, err := tx.Query(ctx, listSQL, school, now, limit, state)
	if err != nil {
		return nil, fmt.Errorf("list imports: %w", err)
	}
	plans, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Plan, err error) {
		var doc []byte
		var state State
		var written int64
		if err := row.Scan(&state, &doc, &written); err != nil {
			return p, err
		}
		return p, p.decode(doc, state, written)
	})
	if err != nil {
		return nil, fmt.Errorf("list imports: %w", err)
	}
	return plans, nil
}

const uniqueViolation = "23505"

// start marks a plan as being applied, unless another one of its source is. It reports whether it
// was not yet.
func start(ctx context.Context, tx pgx.Tx, school string, p *Plan) (begun bool, err error) {
	p.State = Applying
	doc, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return false, fmt.Errorf("encode plan: %w", err)
	}
	tag, err := tx.Exec(ctx, `-- imports.start
		UPDATE imports SET state = 'applying', plan = $3
		WHERE school = $1 AND import_id = $2 AND state = 'planned'`, school, p.ID, doc)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == uniqueViolation {
		return false, ErrPlanning // another one was begun at this moment: asked again, we know which
	}
	if err != nil {
		return false, fmt.Errorf("start import %s: %w", p.ID, err)
	}
	return tag.RowsAffected() > 0, nil
}

// busyWith returns the import of a source that is being applied.
func busyWith(ctx context.Context, tx pgx.Tx, school, source string) (id string, err error) {
	err = tx.QueryRow(ctx, `-- imports.applying
		SELECT import_id FROM imports WHERE school = $1 AND source = $2 AND state = 'applying'`,
		school, source).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the import that is being applied: %w", err)
	}
	return id, nil
}

// begunOf names the imports of a source that were begun, as they stand: when that is the same as
// before, none of them has written anything in between.
func begunOf(ctx context.Context, tx pgx.Tx, school, source string) (begun string, err error) {
	err = tx.QueryRow(ctx, `-- imports.begun
		SELECT coalesce(string_agg(import_id || ' ' || state, ' ' ORDER BY import_id), '')
		FROM imports WHERE school = $1 AND source = $2 AND state <> 'planned'`,
		school, source).Scan(&begun)
	if err != nil {
		return "", fmt.Errorf("find the imports that were begun: %w", err)
	}
	return begun, nil
}

// lock returns how an import stands, and holds it there until the transaction ends. Those who wait
// for it get it in the order in which they came: a cancellation comes before the next batch, which a
// lock on the row, of which each batch makes a new version, would not promise.
func lock(
	ctx context.Context, tx pgx.Tx, school, id string,
) (state State, written int64, err error) {
	if _, err := tx.Exec(ctx, `-- imports.queue
		SELECT pg_advisory_xact_lock(hashtextextended('import ' || $1 || ' ' || $2, 0))`,
		school, id); err != nil {
		return "", 0, fmt.Errorf("wait for import %s: %w", id, err)
	}
	err = tx.QueryRow(ctx, `-- imports.lock
		SELECT state, written FROM imports WHERE school = $1 AND import_id = $2 FOR UPDATE`,
		school, id).Scan(&state, &written)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", 0, ErrUnknown
	}
	if err != nil {
		return "", 0, fmt.Errorf("lock import %s: %w", id, err)
	}
	return state, written, nil
}

// progress stores how an import that is locked stands. What it was made of goes with its end.
func progress(ctx context.Context, tx pgx.Tx, school string, p *Plan) error {
	doc, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	_, err = tx.Exec(ctx, `-- imports.progress
		UPDATE imports SET written = $3, state = $4, plan = $5,
			package = CASE WHEN $4 = 'applying' THEN package ELSE '' END,
			events = CASE WHEN $4 = 'applying' THEN events ELSE '' END
		WHERE school = $1 AND import_id = $2`,
		school, p.ID, p.Written, p.State, doc)
	if err != nil {
		return fmt.Errorf("store progress of import %s: %w", p.ID, err)
	}
	return nil
}
