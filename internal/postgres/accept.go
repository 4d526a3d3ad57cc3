package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// Acceptance is what follows from a decision to accept the log as it is.
type Acceptance struct {
	checkpoint.Decision
	// Forget removes what else is stored by offsets that now mean other records. It may be nil.
	Forget func(ctx context.Context, tx pgx.Tx, partitions []int32) error
}

// AcceptResult is what an acceptance has done.
type AcceptResult struct {
	Partitions []int32 `json:"partitions"`
	// Rebuilt is nil when the log has again what was read of it, so that the tables are right.
	Rebuilt *RebuildResult `json:"rebuilt,omitzero"`
}

// ErrNothingRefused says that there is nothing to decide.
var ErrNothingRefused = errors.New("no partition of the log is refused")

// Accept accepts the log as it is, for all partitions that are refused. The tables are rebuilt from
// it next to the live ones, up to where it ends now, and exchanged in the transaction that stores
// the decision; until then everything is as it was. Planning continues at the same place: what the
// log has below it is planned no more. When the log has been restored, so that it again has what was
// read of it, everything continues where it stood.
func (b *Shadow) Accept(ctx context.Context, a Acceptance) (*AcceptResult, error) {
	all := *b
	all.Projections, all.School, all.Until = nil, "", time.Time{}
	all.acceptance = &a
	s, err := all.open(ctx, rebuildSchema)
	if err != nil {
		return nil, err
	}
	result, err := s.accept(ctx)
	return result, errors.Join(err, s.discard(ctx))
}

func (s *shadowTables) accept(ctx context.Context) (*AcceptResult, error) {
	refused, err := checkpoint.Refusals(ctx, s.conn, s.topic.ID)
	if err != nil {
		return nil, err
	}
	if len(refused) == 0 {
		return nil, ErrNothingRefused
	}
	result := &AcceptResult{}
	for _, r := range refused {
		if r.Partition >= s.topic.Partitions {
			continue // of a log that had more
		}
		_, end, err := s.Engine.Log.Bounds(ctx, r.Partition)
		if err != nil {
			return nil, err
		}
		s.accepted[r.Partition] = end
		result.Partitions = append(result.Partitions, r.Partition)
	}
	err = checkpoint.Examine(ctx, s.conn, s.Engine.Log, s.topic, s.acceptance.Consumers...)
	switch {
	case err == nil:
		return result, s.resume(ctx)
	case !errors.Is(err, eventlog.ErrRefused):
		return nil, err
	}
	if err := s.checkVersions(ctx); err != nil {
		return nil, err
	}
	result.Rebuilt, err = s.rebuild(ctx, nil)
	return result, err
}

// resume stores the decision and lets everybody continue where they stood: the log was restored.
func (s *shadowTables) resume(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		return checkpoint.AcceptRestored(ctx, tx, s.topic, s.acceptance.Decision)
	})
}

// decide stores the decision in the transaction that exchanges the tables.
func (s *shadowTables) decide(ctx context.Context, tx pgx.Tx) error {
	if s.acceptance == nil {
		return nil
	}
	rows, _ := tx.Query(ctx, `SELECT partition, position, read_offset, read_digest
		FROM `+s.shadowName("checkpoints")+` WHERE set_name = $1`, s.Engine.Name)
	from := map[int32]checkpoint.From{}
	var partition int32
	var at checkpoint.From
	var digest []byte
	var partitions []int32
	if _, err := pgx.ForEachRow(rows, []any{&partition, &at.Next, &at.Last.Offset, &digest},
		func() error {
			if _, accepted := s.accepted[partition]; accepted {
				at.Last.Digest = eventlog.RecordDigest{}
				copy(at.Last.Digest[:], digest)
				from[partition] = at
				partitions = append(partitions, partition)
			}
			return nil
		}); err != nil {
		return fmt.Errorf("read positions of the shadow tables: %w", err)
	}
	if err := checkpoint.Accept(ctx, tx, s.topic, s.acceptance.Decision, from); err != nil {
		return err
	}
	if s.acceptance.Forget == nil {
		return nil
	}
	return s.acceptance.Forget(ctx, tx, partitions)
}
