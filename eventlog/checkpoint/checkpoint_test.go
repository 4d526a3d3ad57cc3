package checkpoint_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func open(t *testing.T, role postgres.Role) *pgxpool.Pool {
	t.Helper()
	return devtest.Pool(t, devtest.Postgres(t), role).Conns()
}

func TestP3_OnlyTheLatestClaimAdvances(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Projector)
	code := func(epoch, from, to int64) string {
		_, err := pool.Exec(t.Context(), checkpoint.AdvanceSQL, "set", 3, epoch, from, to, -1, []byte{})
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			return pg.Code
		}
		require.NoError(t, err)
		return ""
	}
	first, err := checkpoint.Take(t.Context(), pool, "set", 3, "topic-1")
	require.NoError(t, err)
	require.Equal(t, checkpoint.Claim{Epoch: 1, Next: 0}, first)
	require.Empty(t, code(1, 0, 10))
	require.Equal(t, checkpoint.FencedCode, code(1, 0, 10), "it is at 10 now")

	second, err := checkpoint.Take(t.Context(), pool, "set", 3, "topic-1")
	require.NoError(t, err)
	require.Equal(t, checkpoint.Claim{Epoch: 2, Next: 10}, second)
	require.Equal(t, checkpoint.FencedCode, code(1, 10, 11))

	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		fenced, err := checkpoint.Fence(t.Context(), tx, "set", -1)
		require.Equal(t, []checkpoint.Checkpoint{{Partition: 3, Epoch: 3, Next: 10, TopicID: "topic-1"}}, fenced)
		return err
	}))
	require.Equal(t, checkpoint.ExchangedCode, code(2, 10, 11))
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := checkpoint.Fence(t.Context(), tx, "set", 3)
		return err
	}))
	require.Equal(t, checkpoint.ExchangedCode, code(2, 10, 11), "by rebuilds only, if by two of them")
	require.Equal(t, checkpoint.FencedCode, code(1, 10, 11), "whose claim was over before")
	third, err := checkpoint.Take(t.Context(), pool, "set", 3, "topic-1")
	require.NoError(t, err)
	require.Equal(t, checkpoint.Claim{Epoch: 5, Next: 10, Tables: 4}, third)
	require.Equal(t, checkpoint.FencedCode, code(4, 10, 11), "once claimed, the exchange is over")

	_, err = checkpoint.Take(t.Context(), pool, "set", 3, "topic-2")
	var other *checkpoint.TopicError
	require.ErrorAs(t, err, &other)
	require.Equal(t, checkpoint.TopicError{Partition: 3, Stored: "topic-1", Current: "topic-2"}, *other)
	require.Empty(t, code(5, 10, 11), "a refused claim changes nothing")
	at, err := checkpoint.Position(t.Context(), pool, "set", 3)
	require.NoError(t, err)
	require.Equal(t, domain.Position{Partition: 3, Offset: 10}, at)
	at, err = checkpoint.Position(t.Context(), pool, "set", 4)
	require.NoError(t, err)
	require.Equal(t, domain.Position{Partition: 4, Offset: -1}, at)
}

func TestGroupsGoBackOnlyByAReset(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Jobs)
	errFenced := errors.New("fenced")
	groups := checkpoint.NewGroups(pool, errFenced, nil)
	topic := eventlog.Topic{ID: "topic-1", Partitions: 4}
	ctx := t.Context()

	_, old, err := groups.Claim(ctx, "g", topic, 1)
	require.NoError(t, err)
	require.NoError(t, groups.Save(ctx, "g", topic, 1, old, 20, eventlog.Mark{}))
	next, epoch, err := groups.Claim(ctx, "g", topic, 1)
	require.NoError(t, err)
	require.Equal(t, int64(20), next)
	require.ErrorIs(t, groups.Save(ctx, "g", topic, 1, old, 30, eventlog.Mark{}), errFenced)

	furthest := func() int64 {
		all, err := checkpoint.Furthest(ctx, pool, "g")
		require.NoError(t, err)
		return all[1]
	}
	for _, again := range []bool{false, true} {
		n, err := groups.Reset(ctx, "g", &domain.Position{Partition: 1, Offset: 5}, again)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.ErrorIs(t, groups.Save(ctx, "g", topic, 1, epoch, 21, eventlog.Mark{}), checkpoint.ErrReset)
		require.ErrorIs(t, groups.Save(ctx, "g", topic, 1, old, 21, eventlog.Mark{}), errFenced,
			"it had lost it before")
		next, epoch, err = groups.Claim(ctx, "g", topic, 1)
		require.NoError(t, err)
		require.Equal(t, int64(5), next)
		require.Equal(t, map[bool]int64{false: 20, true: 5}[again], furthest())
		require.NoError(t, groups.Save(ctx, "g", topic, 1, epoch, 20, eventlog.Mark{}))
	}
	n, err := groups.Reset(ctx, "g", &domain.Position{Partition: 1, Offset: 21}, true)
	require.NoError(t, err)
	require.Zero(t, n, "a reset never skips")
}

func TestPositionsArePolledOnlyWhileAReaderWaits(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Projector)
	acquired := make(chan struct{}, 1000)
	positions := checkpoint.NewPositions(func(ctx context.Context) (*pgxpool.Conn, error) {
		acquired <- struct{}{}
		return pool.Acquire(ctx)
	}, "set")
	ctx, stop := context.WithCancel(t.Context())
	var all errgroup.Group
	all.Go(func() error { return positions.Run(ctx) })

	_, err := checkpoint.Take(ctx, pool, "set", 0, "topic-1")
	require.NoError(t, err)
	all.Go(func() error { return positions.Await(ctx, domain.Position{Partition: 0, Offset: 9}) })
	<-acquired // so it is polled, in vain
	_, err = pool.Exec(ctx, checkpoint.AdvanceSQL, "set", 0, 1, 0, 10, -1, []byte{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return positions.Waiting() == 0 }, 10*time.Second, time.Millisecond)

	// What it has learnt needs no query, and neither does what a projector in this process reports.
	positions.Reached(domain.Position{Partition: 1, Offset: 7})
	for _, at := range []domain.Position{{Partition: 0, Offset: 9}, {Partition: 1, Offset: 7}} {
		require.NoError(t, positions.Await(ctx, at))
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, positions.Await(gone, domain.Position{Partition: 1, Offset: 8}), context.Canceled)
	require.Zero(t, positions.Waiting())
	stop()
	require.NoError(t, all.Wait())
}

func TestP8_ATopicHasAsManyPartitionsAsEver(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Projector)
	topic := eventlog.Topic{Name: "events", ID: "topic-1", Partitions: 4}
	require.NoError(t, checkpoint.CheckLog(t.Context(), pool, topic))
	require.NoError(t, checkpoint.CheckLog(t.Context(), pool, topic))
	grown := topic
	grown.Partitions = 5
	for range 2 { // it is not got used to
		var refused *eventlog.PartitionsError
		require.ErrorAs(t, checkpoint.CheckLog(t.Context(), pool, grown), &refused)
		require.EqualValues(t, 4, refused.Used)
	}
	require.NoError(t, checkpoint.CheckLog(t.Context(), pool, topic))
}

// Workers write to their checkpoints even when they are idle, so one that is silent is gone.
func TestPartitionsWithoutAWorkerAreFound(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Projector)
	find := func() []int32 {
		missing, err := checkpoint.Unattended(t.Context(), pool, "set", 3, time.Minute)
		require.NoError(t, err)
		return missing
	}
	require.Empty(t, find(), "a consumer that has never run is missed by nobody")
	for _, partition := range []int32{0, 2} {
		_, err := checkpoint.Take(t.Context(), pool, "set", partition, "topic-1")
		require.NoError(t, err)
	}
	require.Equal(t, []int32{1}, find(), "nobody has ever claimed it")
	_, err := pool.Exec(t.Context(),
		`UPDATE checkpoints SET updated_at = updated_at - interval '2 minutes' WHERE partition = 2`)
	require.NoError(t, err)
	require.Equal(t, []int32{1, 2}, find())
	_, err = pool.Exec(t.Context(), checkpoint.AdvanceSQL, "set", 2, 1, 0, 0, -1, []byte{})
	require.NoError(t, err)
	require.Equal(t, []int32{1}, find(), "an empty batch is a sign of life")
}
