package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/projections"
)

// RebuildResult is what a rebuild has done.
type RebuildResult struct {
	Projections []string `json:"projections"`
	School      string   `json:"school,omitzero"`
	// of the tables, when they were not exchanged
	Schema string        `json:"schema,omitzero"`
	Events int64         `json:"events"` // how far the log was folded
	Parked int64         `json:"parked"` // subjects that these folds could not fold
	Took   time.Duration `json:"-"`
	Pause  time.Duration `json:"-"` // for which the live set stood still
	// NotifyError is why the cache could not be notified. It may then return results from before,
	// until they expire or something changes.
	NotifyError error `json:"-"`
}

// errParkedDiffer means that the live tables and the shadow tables are not made of the same events.
var errParkedDiffer = errors.New("the live tables have other parked events")

const rebuildSchema = "schoolbell_rebuild"

// Rebuild rebuilds tables from the log next to the live ones, which it follows. Then it exchanges
// them in one transaction: readers see either all of the old rows or all of the new ones, at the
// same position of the log. The partitions' workers are fenced by it and continue by themselves. An
// event is in the tables of all projections of a set or parked for all of them. So as long as the
// same events are parked here and there, some projections can be rebuilt alone. If not, because the
// folds have changed or a cause was fixed, all of them are rebuilt, and what is parked is exchanged
// as well: what can be folded now is in the tables, in the order of the log, and what cannot is
// parked. Whatever interrupts a rebuild, the live tables are as they were; what it leaves behind is
// removed by the next one.
func (b *Shadow) Rebuild(ctx context.Context) (result *RebuildResult, err error) {
	schema := rebuildSchema
	if !b.Until.IsZero() {
		schema = "schoolbell_until_" + strings.ToLower(b.Until.UTC().Format("20060102T150405Z"))
	}
	s, err := b.open(ctx, schema)
	if err != nil {
		return nil, err
	}
	s.byIndex = b.School != ""
	defer func() {
		if err == nil && !b.Until.IsZero() {
			err = errors.Join(s.halt(), s.close(ctx))
			return
		}
		err = errors.Join(err, s.discard(ctx))
	}()
	if err := s.checkVersions(ctx); err != nil {
		return nil, err
	}
	names := b.Projections
	parked, err := s.liveParked(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for parked events: %w", err)
	}
	if parked && b.Until.IsZero() {
		names = nil
	}
	result, err = s.rebuild(ctx, names)
	switch {
	case errors.Is(err, errParkedDiffer):
		result, err = s.rebuild(ctx, nil)
	case errors.Is(err, projections.ErrSkippedLate):
		result, err = s.rebuild(ctx, names)
	}
	return result, err
}

// checkVersions makes sure that no newer program has made the live tables, and that one school's
// rows are not made by other folds than the rest.
func (s *shadowTables) checkVersions(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		err := versionFault(ctx, tx, s.Engine.Name, s.Engine.Set)
		var version *projections.VersionError
		if errors.As(err, &version) && version.Folds > version.Tables && s.School == "" {
			return nil
		}
		return err
	})
}

// rebuild is one attempt, from the beginning of the log.
func (s *shadowTables) rebuild(ctx context.Context, names []string) (*RebuildResult, error) {
	began := time.Now()
	if err := s.halt(); err != nil {
		return nil, err
	}
	if err := s.choose(names); err != nil {
		return nil, err
	}
	if s.School == "" && s.Until.IsZero() {
		if err := s.checkDependents(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.fill(ctx); err != nil {
		return nil, err
	}
	total, err := s.catchUp(ctx, "fold")
	if err != nil {
		return nil, err
	}
	s.report("index", total, total)
	if err := s.index(ctx); err != nil {
		return nil, err
	}
	result := &RebuildResult{School: s.School, Events: s.catchup.Folded()}
	for _, p := range s.rebuilt {
		result.Projections = append(result.Projections, p.Name)
	}
	if s.Until.IsZero() {
		if err := s.exchange(ctx, result); err != nil {
			return nil, err
		}
	} else {
		result.Schema = s.schema
		if err := s.halt(); err != nil {
			return nil, err
		}
		if result.Parked, err = s.parkedInShadow(ctx); err != nil {
			return nil, err
		}
	}
	result.Took = time.Since(began)
	return result, nil
}

// parkedInShadow counts the subjects that are parked in the shadow schema.
func (s *shadowTables) parkedInShadow(ctx context.Context) (n int64, err error) {
	err = asProjector(ctx, s.conn, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT count(*) FROM `+s.shadowName("parked_subjects")).Scan(&n)
	})
	return n, err
}

func (s *shadowTables) shadowName(table string) string {
	return pgx.Identifier{s.schema, table}.Sanitize()
}

const (
	// how long readers may wait behind a reader that takes long
	exchangeWait     = 250 * time.Millisecond
	exchangeTail     = 2 * time.Second // within which the last events must be folded
	exchangeRetryMin = 100 * time.Millisecond
	exchangeRetryMax = 5 * time.Second
)

// exchange exchanges the tables as soon as no long query is in the way. It gives up after a short
// wait and tries again, because everything that comes after it waits behind its locks.
func (s *shadowTables) exchange(ctx context.Context, result *RebuildResult) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = exchangeRetryMin, exchangeRetryMax
	for {
		if s.stop == nil {
			if err := s.start(ctx); err != nil {
				return err
			}
		}
		total, err := s.catchUp(ctx, "follow")
		if err != nil {
			return err
		}
		began := time.Now()
		var fenced []checkpoint.Checkpoint
		err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) (err error) {
			fenced, err = s.exchangeIn(ctx, tx, result)
			return err
		})
		result.Pause = time.Since(began)
		if err == nil {
			result.Events = 0
			for _, p := range fenced {
				result.Events += p.Next
			}
			result.NotifyError = s.notify(ctx, fenced)
			// the rebuild is done; what is left of the old tables is removed by the next
			_ = s.dropReplaced(ctx)
			return nil
		}
		if ctx.Err() != nil || s.conn.IsClosed() || !Retryable(err) {
			return fmt.Errorf("exchange tables: %w", err)
		}
		s.report("wait for long queries", total, total)
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *shadowTables) exchangeIn(
	ctx context.Context, tx pgx.Tx, result *RebuildResult,
) ([]checkpoint.Checkpoint, error) {
	begin := fmt.Sprintf("SET LOCAL lock_timeout = %d", exchangeWait.Milliseconds())
	// one school's rows change as in any commit; an exchange of tables needs readers out of them
	if s.School == "" {
		begin += "; " + checkpoint.LockForExchange
	}
	if _, err := tx.Exec(ctx, begin); err != nil {
		return nil, err
	}
	fenced, err := s.fence(ctx, tx)
	if err != nil {
		return nil, err
	}
	for i, c := range fenced {
		if end, accepted := s.accepted[c.Partition]; accepted {
			fenced[i].Next = end // which the decision makes it
		}
	}
	positions, err := s.livePositions(ctx, tx)
	if err != nil {
		return nil, err
	}
	tail, cancel := context.WithTimeout(ctx, exchangeTail)
	defer cancel()
	if err := s.catchup.FoldTo(tail, positions); err != nil {
		return nil, fmt.Errorf("fold the last events: %w", err)
	}
	if err := s.halt(); err != nil {
		return nil, err
	}
	if err := s.exchangeParked(ctx, tx, result); err != nil {
		return nil, err
	}
	if s.School != "" {
		return fenced, s.exchangeRows(ctx, tx)
	}
	if err := s.exchangeTables(ctx, tx); err != nil {
		return nil, err
	}
	return fenced, s.decide(ctx, tx)
}

// fence takes the partitions from their workers.
func (s *shadowTables) fence(ctx context.Context, tx pgx.Tx) ([]checkpoint.Checkpoint, error) {
	partition := int32(-1)
	if s.School != "" {
		partition = eventlog.PartitionFor(s.School, s.topic.Partitions)
	}
	return checkpoint.Fence(ctx, tx, s.Engine.Name, partition)
}

// exchangeParked makes sure that the same events are missing from the tables here and there. When
// all projections are rebuilt, what is parked follows from the new folds.
func (s *shadowTables) exchangeParked(ctx context.Context, tx pgx.Tx, result *RebuildResult) error {
	if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+string(Projector)); err != nil {
		return err
	}
	const where = ` WHERE set_name = $1 AND ($2 = '' OR school = $2)`
	live := `SELECT partition, log_offset FROM parked_events` + where
	shadow := `SELECT partition, log_offset FROM ` + s.shadowName("parked_events") + where
	var differ bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS ((`+live+` EXCEPT `+shadow+`)
		UNION ALL (`+shadow+` EXCEPT `+live+`)),
		(SELECT count(*) FROM `+s.shadowName("parked_subjects")+where+`)`,
		s.Engine.Name, s.School).Scan(&differ, &result.Parked); err != nil {
		return err
	}
	if differ {
		if err := s.checkSkipping(ctx, tx); err != nil {
			return err
		}
		if !s.rebuildsAll() {
			return errParkedDiffer
		}
		for _, table := range []string{"parked_events", "parked_subjects", "skipped_events"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+where, s.Engine.Name,
				s.School); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx,
				`INSERT INTO `+table+` SELECT * FROM `+s.shadowName(table)+where, s.Engine.Name,
				s.School); err != nil {
				return err
			}
		}
	}
	_, err := tx.Exec(ctx, "SET LOCAL ROLE NONE")
	return err
}

// checkSkipping makes sure that no event is about to be skipped: the live tables know that before it
// is in the log, and the shadow tables may have folded the event.
func (s *shadowTables) checkSkipping(ctx context.Context, tx pgx.Tx) error {
	var partition int32
	var offset int64
	var school, subject string
	err := tx.QueryRow(ctx, `SELECT partition, log_offset, school, subject FROM parked_events
		WHERE set_name = $1 AND ($2 = '' OR school = $2) AND skip_requested LIMIT 1`,
		s.Engine.Name, s.School).Scan(&partition, &offset, &school, &subject)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("the event at %d:%d is about to be skipped: run `schoolbell parked skip %s "+
		"%s` again, and then the rebuild", partition, offset, school, subject)
}

// exchangeTables moves the live tables out of the way and the others to where they were, and the
// views over them from the old ones to the new. Dropping tables takes long and comes later, when no
// reader waits for it; but it is tried here, as a dependent that was overlooked would follow an old
// table and be dropped with it.
func (s *shadowTables) exchangeTables(ctx context.Context, tx pgx.Tx) error {
	live := liveTables(s.exchanged())
	views, err := dropViews(ctx, tx, live)
	if err != nil {
		return err
	}
	statements := []string{
		"SAVEPOINT untried", "DROP TABLE " + strings.Join(live, ", "), "ROLLBACK TO untried",
		"RELEASE untried",
		"CREATE SCHEMA " + replacedSchema,
	}
	for i, name := range s.exchanged() {
		statements = append(statements,
			fmt.Sprintf("ALTER TABLE %s SET SCHEMA %s", live[i], replacedSchema),
			fmt.Sprintf("ALTER TABLE %s SET SCHEMA %s", s.shadowName(name), liveSchema))
	}
	if _, err := tx.Exec(ctx, strings.Join(append(statements, views...), "; ")); err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Detail != "" {
			return fmt.Errorf("%w (%s)", err, pg.Detail)
		}
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO fold_versions (set_name, projection, version)
		SELECT $1, * FROM unnest($2::text[], $3::int[])
		ON CONFLICT (set_name, projection) DO UPDATE SET version = excluded.version`,
		append([]any{s.Engine.Name}, versionsOf(s.rebuilt, s.rebuildsAll())...)...)
	return err
}

// exchangeRows exchanges the rows of one school, in the live tables.
func (s *shadowTables) exchangeRows(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+string(Projector)); err != nil {
		return err
	}
	for _, p := range s.rebuilt {
		for _, t := range p.Tables {
			var columns []string
			for _, c := range t.Schema().Columns {
				columns = append(columns, pgx.Identifier{c.Name}.Sanitize())
			}
			list, live := strings.Join(columns, ", "), pgx.Identifier{t.Schema().Name}.Sanitize()
			if _, err := tx.Exec(ctx, `DELETE FROM `+live+` WHERE school = $1`,
				s.School); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx,
				`INSERT INTO `+live+` (`+list+`) SELECT `+list+` FROM `+
					s.shadowName(t.Schema().Name)+` WHERE school = $1`,
				s.School); err != nil {
				return err
			}
		}
	}
	return nil
}

// notify tells caches that all results of these partitions are out of date.
func (s *shadowTables) notify(ctx context.Context, fenced []checkpoint.Checkpoint) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var faults []error
	for _, n := range s.Notifiers {
		for _, p := range fenced {
			faults = append(faults, n.Claimed(ctx,
				domain.Position{Partition: p.Partition, Offset: p.Next - 1}, p.Epoch, p.Epoch))
		}
	}
	return errors.Join(faults...)
}
