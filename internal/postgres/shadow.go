package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/projections"
)

// Shadow configures the folding of the log into tables next to the live ones. A zero value means
// the default in parentheses.
type Shadow struct {
	URL         string             // of the database, as the role that owns the schema
	Engine      projections.Config // of the live set, without group, store and notifiers
	Projections []string           // with those that read them (all)
	School      string             // only its rows (all schools)
	Until       time.Time          // without what was appended later (no limit)
	Notifiers   []projections.Notifier
	// Progress is called now and then with the stage of the work and how many of how many events
	// are folded. It may be nil.
	Progress func(stage string, folded, total int64)

	acceptance *Acceptance // of the log as it is; nil fails when partitions are refused
}

func (b *Shadow) report(stage string, folded, total int64) {
	if b.Progress != nil {
		b.Progress(stage, folded, total)
	}
}

// ErrAlreadyRunning means that another process is doing the same.
var ErrAlreadyRunning = errors.New("another rebuild or verification is already running")

// engineTables are the engine's own; a shadow schema has a set of them.
var engineTables = []string{
	"checkpoints", "fold_versions", "parked_subjects", "parked_events",
	"skipped_events", "log_refusals", blocksTable,
}

// blocksTable is the index of the log. It is made whatever is folded, and exchanged when all is.
const blocksTable = "log_blocks"

// shadowTables are tables in a schema of their own, and the engine that folds the log into them.
type shadowTables struct {
	*Shadow
	schema  string
	conn    *pgx.Conn // holds the lock; runs one transaction at a time
	topic   eventlog.Topic
	rebuilt []*projections.Projection
	folded  *projections.Set
	catchup *projections.Catchup
	ended   chan error // of the catch-up
	stop    context.CancelFunc
	pool    *Pool
	// byIndex means that only the school's own part of the log is read, where the live index says
	// that it is.
	byIndex   bool
	indexPool *Pool

	accepted map[int32]int64 // where partitions that were refused end, by the acceptance
}

// open takes the lock of a schema, and makes sure that the live tables come from the log.
func (b *Shadow) open(ctx context.Context, schema string) (_ *shadowTables, err error) {
	s := &shadowTables{Shadow: b, schema: schema, accepted: map[int32]int64{}}
	if err := CheckSessions(ctx, b.URL); err != nil {
		return nil, err // the lock would hold nobody off
	}
	if s.conn, err = connect(ctx, b.URL, "schoolbell "+schema); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if err := (settings{
		"search_path":          searchPath(liveSchema),
		"client_min_messages":  "warning",
		"maintenance_work_mem": "256MB", // for the indexes of full tables
	}).apply(ctx, s.conn); err != nil {
		return nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	if s.topic, err = b.Engine.Log.Topic(ctx); err != nil {
		return nil, err
	}
	if b.acceptance != nil {
		return s, nil
	}
	if b.School != "" {
		if err := asProjector(ctx, s.conn, func(tx pgx.Tx) error {
			return checkSchool(ctx, tx, b.Engine.Name, b.School)
		}); err != nil {
			return nil, err
		}
	}
	// A refusal stays, whatever the log has by now.
	err = checkpoint.Examine(ctx, s.conn, b.Engine.Log, s.topic, b.Engine.Name)
	refused, readErr := checkpoint.Refusals(ctx, s.conn, s.topic.ID)
	for _, r := range refused {
		return nil, r
	}
	return s, errors.Join(err, readErr)
}

// lock waits a moment, as the server may not have noticed yet that an earlier run has ended.
func (s *shadowTables) lock(ctx context.Context) error {
	const tries, pause = 10, 100 * time.Millisecond
	for try := 1; ; try++ {
		var locked bool
		if err := s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`,
			s.schema).Scan(&locked); err != nil {
			return fmt.Errorf("take lock of %s: %w", s.schema, err)
		}
		switch {
		case locked:
			return nil
		case try == tries:
			return ErrAlreadyRunning
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close ends the connection, and with it the lock.
func (s *shadowTables) close(ctx context.Context) error {
	return s.conn.Close(context.WithoutCancel(ctx))
}

// choose determines which projections are rebuilt when some are named, and what must be folded for
// them.
func (s *shadowTables) choose(names []string) (err error) {
	s.rebuilt, s.folded, err = s.Engine.Set.Closure(names...)
	return err
}

// fill creates the tables of the chosen projections, and starts to fold.
func (s *shadowTables) fill(ctx context.Context) error {
	if err := s.createSchema(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// start folds from where the shadow tables are.
func (s *shadowTables) start(ctx context.Context) (err error) {
	s.pool, err = NewPool(ctx,
		Config{URL: s.URL, Role: Projector, Schema: s.schema, StatementTimeout: time.Hour})
	if err != nil {
		return err
	}
	cfg := projections.CatchupConfig{Config: s.Engine, Until: s.Until}
	cfg.Set, cfg.School, cfg.Metrics, cfg.Tracer = s.folded, s.School, nil, nil
	// No reader waits for these rows, so batches are large: the more events a commit holds, the
	// fewer times a row is written that many of them change.
	cfg.MaxBatch, cfg.MaxRows = cmp.Or(cfg.MaxBatch, 40_000), cmp.Or(cfg.MaxRows, 400_000)
	cfg.Store = NewProjectionStore(s.pool, s.folded, s.Engine.Name)
	for n := range s.topic.Partitions {
		if s.School == "" || n == eventlog.PartitionFor(s.School, s.topic.Partitions) {
			cfg.Partitions = append(cfg.Partitions, n)
		}
	}
	if s.byIndex {
		s.indexPool, err = NewPool(ctx, Config{URL: s.URL, Role: API, MaxConns: 1})
		if err != nil {
			s.pool.Close()
			return err
		}
		cfg.Log = eventlog.OfSchool(cfg.Log, NewLogIndex(s.indexPool, s.Engine.Name), s.School)
	}
	if s.catchup, err = projections.NewCatchup(cfg); err != nil {
		s.closePools()
		return err
	}
	var running context.Context
	running, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.catchup.Run(running) }()
	return nil
}

// halt ends the folding, if it has started.
func (s *shadowTables) halt() error {
	if s.stop == nil {
		return nil
	}
	s.stop()
	s.stop = nil
	err := <-s.ended
	s.closePools()
	return err
}

func (s *shadowTables) closePools() {
	s.pool.Close()
	if s.indexPool != nil {
		s.indexPool.Close()
	}
}

func (s *shadowTables) createSchema(ctx context.Context) error {
	if err := s.dropSchema(ctx); err != nil { // what an interrupted run has left
		return err
	}
	if err := s.dropReplaced(ctx); err != nil {
		return err
	}
	schema := pgx.Identifier{s.schema}.Sanitize()
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx,
			"CREATE SCHEMA "+schema+"; GRANT USAGE ON SCHEMA "+schema+
				" TO schoolbell_projector"); err != nil {
			return fmt.Errorf("create schema %s: %w", s.schema, err)
		}
		keyed := map[string]bool{}
		for _, name := range engineTables {
			keyed[name] = true
		}
		for _, t := range s.folded.Tables() {
			// folds never look up their rows
			keyed[t.Schema().Name] = !t.Schema().AppendOnly
		}
		for name, key := range keyed {
			if _, err := tx.Exec(ctx, `SELECT mirror($1::text::regclass, $2, $3)`,
				pgx.Identifier{liveSchema, name}.Sanitize(), s.schema, key); err != nil {
				return fmt.Errorf("create table %s.%s: %w", s.schema, name, err)
			}
		}
		return nil
	})
}

func (s *shadowTables) dropSchema(ctx context.Context) error { return s.drop(ctx, s.schema) }

// replacedSchema holds the former live tables until they are dropped.
const replacedSchema = "schoolbell_replaced"

func (s *shadowTables) dropReplaced(
	ctx context.Context,
) error {
	return s.drop(ctx, replacedSchema)
}

func (s *shadowTables) drop(ctx context.Context, schema string) error {
	if _, err := s.conn.Exec(ctx,
		"DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE"); err != nil {
		return fmt.Errorf("drop schema %s: %w", schema, err)
	}
	return nil
}

// discard stops and removes everything, even after ctx has ended. When the connection is lost, and
// so the lock, the schema is left to the next run.
func (s *shadowTables) discard(ctx context.Context) error {
	err := s.halt()
	if s.conn.IsClosed() {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, s.dropSchema(ctx), s.close(ctx))
}

// index creates the indexes that bulk loading goes without, and gathers statistics for the planner.
func (s *shadowTables) index(ctx context.Context) error {
	for _, name := range s.exchanged() {
		if _, err := s.conn.Exec(ctx, `SELECT mirror_indexes($1::text::regclass, $2)`,
			pgx.Identifier{liveSchema, name}.Sanitize(), s.schema); err != nil {
			return fmt.Errorf("create indexes of %s: %w", name, err)
		}
		if _, err := s.conn.Exec(ctx,
			"ANALYZE "+pgx.Identifier{s.schema, name}.Sanitize()); err != nil {
			return fmt.Errorf("analyze %s: %w", name, err)
		}
	}
	return nil
}

// catchUp folds until the live tables are hardly ahead, and returns how many events they hold.
func (s *shadowTables) catchUp(ctx context.Context, stage string) (total int64, err error) {
	const near = 2000
	for {
		positions, err := s.livePositions(ctx, s.conn)
		if err != nil {
			return 0, err
		}
		total = 0
		for _, next := range positions {
			total += next
		}
		if s.Until.IsZero() && total-s.catchup.Folded() <= near {
			return total, nil
		}
		if err := s.foldTo(ctx, stage, positions, total); err != nil || !s.Until.IsZero() {
			return total, err
		}
	}
}

// foldTo folds up to positions, and reports progress.
func (s *shadowTables) foldTo(
	ctx context.Context, stage string, positions map[int32]int64, total int64,
) error {
	group, ctx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	group.Go(func() error {
		defer close(done)
		return s.catchup.FoldTo(ctx, positions)
	})
	group.Go(func() error {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			s.report(stage, min(s.catchup.Folded(), total), total)
			select {
			case <-tick.C:
			case <-done:
				return nil
			}
		}
	})
	return group.Wait()
}

// livePositions returns the next offsets of the live tables, of the partitions that matter here. It
// fails when they were folded from another topic.
func (s *shadowTables) livePositions(
	ctx context.Context, q checkpoint.Querier,
) (map[int32]int64, error) {
	live, err := checkpoint.Read(ctx, q, s.Engine.Name)
	if err != nil {
		return nil, err
	}
	positions := map[int32]int64{}
	for _, c := range live {
		if end, accepted := s.accepted[c.Partition]; accepted {
			positions[c.Partition] = end
			continue
		}
		if s.acceptance != nil && c.Partition >= s.topic.Partitions {
			continue // of a log that had more
		}
		if c.TopicID != s.topic.ID {
			return nil, &projections.TopicError{
				Partition: c.Partition, Stored: c.TopicID,
				Current: s.topic.ID,
			}
		}
		if s.School == "" || c.Partition == eventlog.PartitionFor(s.School, s.topic.Partitions) {
			positions[c.Partition] = c.Next
		}
	}
	return positions, nil
}

// liveParked reports whether events of the live set are parked.
func (s *shadowTables) liveParked(ctx context.Context) (some bool, err error) {
	err = asProjector(ctx, s.conn, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM parked_subjects WHERE set_name = $1
			AND ($2 = '' OR school = $2))`,
			s.Engine.Name, s.School).Scan(&some)
	})
	return some, err
}

// asProjector runs a transaction in the role to which no row is hidden.
func asProjector(ctx context.Context, conn *pgx.Conn, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+string(Projector)); err != nil {
			return fmt.Errorf("switch to the projector's role: %w", err)
		}
		return fn(tx)
	})
}

// exchanged returns the names of the tables that take the place of live ones.
func (s *shadowTables) exchanged() []string {
	names := tableNames(s.rebuilt)
	if s.rebuildsAll() {
		names = append(names, blocksTable)
	}
	return names
}

func (s *shadowTables) rebuildsAll() bool {
	return len(s.rebuilt) == len(s.Engine.Set.Projections())
}

func tableNames(members []*projections.Projection) []string {
	var names []string
	for _, p := range members {
		for _, t := range p.Tables {
			names = append(names, t.Schema().Name)
		}
	}
	return names
}
