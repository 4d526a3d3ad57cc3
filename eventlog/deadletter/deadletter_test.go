package deadletter_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func record(offset int64, school, value string) *eventlog.Record {
	return &eventlog.Record{
		Position: domain.Position{Partition: 3, Offset: offset},
		Time:     time.UnixMilli(1_700_000_000_000).UTC(),
		Key:      []byte(school),
		Headers: []eventlog.Header{
			{Key: "ce_id", Value: []byte("e1")},
			{Key: "ce_type", Value: []byte("x.v1")},
			{Key: "odd", Value: []byte{0, 0xff}},
		},
		Value: []byte(value),
	}
}

func write(t *testing.T, pool *pgxpool.Pool, letters ...deadletter.Letter) (stored int) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
		stored, err = deadletter.Write(t.Context(), tx, letters...)
		return err
	}))
	return stored
}

// A letter returns what was refused byte for byte, whatever bytes those are, and a reader that
// repeats a batch after a crash makes no second one.
func TestALetterHoldsTheRecordAsItWas(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	for _, role := range []postgres.Role{postgres.Projector, postgres.Jobs} {
		pool := devtest.Pool(t, url, role).Conns()
		invalid := &domain.InvalidError{Faults: []domain.Fault{{Pointer: "/data/x", Reason: "is required"}}}
		letter := deadletter.Of(deadletter.Log, string(role), record(7, "north\x00\xff", "\x00\xff"), invalid)
		for range 2 {
			require.Equal(t, 1, write(t, pool, letter))
		}
		all, err := deadletter.List(t.Context(), pool, deadletter.Filter{Kind: deadletter.Log})
		require.NoError(t, err)
		require.Nil(t, all[len(all)-1].Record, "a thousand of them would not fit")
		got, err := deadletter.Get(t.Context(), pool, all[len(all)-1].ID)
		require.NoError(t, err)
		letter.School, letter.Last = "north\uFFFD\uFFFD", 0
		require.Empty(t, cmp.Diff(letter, got,
			cmpopts.IgnoreFields(deadletter.Letter{}, "ID", "At")))
		require.Equal(t, "/data/x is required", got.Reason())
	}
	pool := devtest.Pool(t, url, postgres.Jobs).Conns()
	all, err := deadletter.List(t.Context(), pool, deadletter.Filter{})
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NoError(t, deadletter.Remove(t.Context(), pool, &all[0]))
	_, err = deadletter.Get(t.Context(), pool, all[0].ID)
	require.ErrorIs(t, err, deadletter.ErrNotFound)
	require.NoError(t, deadletter.Prune(t.Context(), pool, time.Now().Add(deadletter.Lifetime-time.Minute)))
	_, err = deadletter.Get(t.Context(), pool, all[1].ID)
	require.NoError(t, err, "its time has not come")
	require.NoError(t, deadletter.Prune(t.Context(), pool, time.Now().Add(deadletter.Lifetime+time.Minute)))
	_, err = deadletter.Get(t.Context(), pool, all[1].ID)
	require.ErrorIs(t, err, deadletter.ErrNotFound)
}

// Whoever can fill a topic cannot fill the database, nor the share of another school.
func TestASchoolHasADailyLimit(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	pool := devtest.Pool(t, url, postgres.Jobs).Conns()
	refused := errors.New("refused")
	letters := make([]deadletter.Letter, 0, deadletter.DailyLimit+5)
	for i := range int64(deadletter.DailyLimit) + 5 {
		letters = append(letters, deadletter.Of(deadletter.Inbox, "in", record(i, "flood", "{}"), refused))
	}
	letters = append(letters, deadletter.Of(deadletter.Inbox, "in",
		record(deadletter.DailyLimit+9, "north", strings.Repeat("x", 100_000)), refused))
	require.Equal(t, deadletter.DailyLimit+1, write(t, pool, letters...))

	of := func(school string) []deadletter.Letter {
		all, err := deadletter.List(t.Context(), pool, deadletter.Filter{School: school, Limit: 20_000})
		require.NoError(t, err)
		return all
	}
	require.Len(t, of("flood"), deadletter.DailyLimit)
	require.Len(t, of("north"), 1)
	large, err := deadletter.Get(t.Context(), pool, of("north")[0].ID)
	require.NoError(t, err)
	require.Nil(t, large.Record, "a large record is not stored")
	require.Equal(t, deadletter.DailyLimit+9, int(of("north")[0].Position.Offset))
	require.Equal(t, 0, write(t, pool, letters[len(letters)-2]))
	require.Equal(t, 1, write(t, pool, letters[len(letters)-1]), "one that is written again is the same")
}

// A school is only what a record says. Whoever invents a new one for each record is bounded by where
// they write, and cannot use up the share of a school that they name.
func TestAPartitionHasADailyLimit(t *testing.T) {
	t.Parallel()
	pool := devtest.Pool(t, devtest.Postgres(t), postgres.Jobs).Conns()
	refused := errors.New("refused")
	var letters []deadletter.Letter
	for i := range int64(deadletter.PlaceLimit) + 5 {
		letters = append(letters,
			deadletter.Of(deadletter.Inbox, "in", record(i, strconv.FormatInt(i, 10), "{}"), refused))
	}
	require.Equal(t, deadletter.PlaceLimit, write(t, pool, letters...))
	elsewhere := record(1, "north", "{}")
	elsewhere.Position.Partition = 4
	require.Equal(t, 1, write(t, pool, deadletter.Of(deadletter.Inbox, "in", elsewhere, refused)))
	require.Equal(t, 1, write(t, pool, deadletter.Of(deadletter.Inbox, "sis", record(1, "north", "{}"), refused)))

	letters = letters[:0]
	for i := range int64(deadletter.DailyLimit) + 5 {
		letters = append(letters, deadletter.Of(deadletter.Log, "", record(i, "north", "{}"), refused))
	}
	require.Equal(t, len(letters), write(t, pool, letters...))
	own := record(2, "north", "{}")
	own.Position.Partition = 5
	require.Equal(t, 1, write(t, pool, deadletter.Of(deadletter.Inbox, "in", own, refused)),
		"what strangers wrote to the log in its name does not count for it")
}

// The API's role sees the letters of the school that its transaction names, and no others.
func TestP10_ASchoolSeesItsOwnDeadLetters(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	refused := errors.New("refused")
	write(t, devtest.Pool(t, url, postgres.Jobs).Conns(),
		deadletter.Of(deadletter.Inbox, "in", record(1, "north", "{}"), refused),
		deadletter.Of(deadletter.Inbox, "in", record(2, "south", "{}"), refused))
	pool := devtest.Pool(t, url, postgres.API).Conns()
	seen := func(school string) (schools []string) {
		err := pgx.BeginFunc(context.WithoutCancel(t.Context()), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SELECT set_config('schoolbell.school', $1, true)`, school); err != nil {
				return err
			}
			all, err := deadletter.List(t.Context(), tx, deadletter.Filter{})
			for _, l := range all {
				schools = append(schools, l.School)
			}
			return err
		})
		require.NoError(t, err)
		return schools
	}
	require.Equal(t, []string{"north"}, seen("north"))
	require.Empty(t, seen(""))
}

// A school's letters are found without reading those of others, and old ones without reading all.
func TestLettersAreFoundByIndexes(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), devtest.Postgres(t))
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	exec := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`INSERT INTO schoolbell.deadletters (kind, topic, partition, log_offset, last_offset, school,
		event_id, type, faults) SELECT 'log', '', 1, n, n, 's' || n % 200, 'e', 't', '[]'
		FROM generate_series(1, 20000) n; ANALYZE schoolbell.deadletters`)
	found, err := deadletter.List(t.Context(), conn, deadletter.Filter{School: "s7"})
	require.NoError(t, err)
	require.Len(t, found, 100)
	require.NoError(t, deadletter.Prune(t.Context(), conn, time.Now()))
	exec(`SELECT pg_stat_force_next_flush()`)
	var wholeReads int64
	var bySchool, byTime bool
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT seq_scan,
		EXISTS (SELECT FROM pg_stat_user_indexes WHERE indexrelname = 'deadletters_by_school' AND idx_scan > 0),
		EXISTS (SELECT FROM pg_stat_user_indexes WHERE indexrelname = 'deadletters_by_time' AND idx_scan > 0)
		FROM pg_stat_user_tables WHERE relname = 'deadletters'`).Scan(&wholeReads, &bySchool, &byTime))
	require.Zero(t, wholeReads, "the table was read as a whole")
	require.True(t, bySchool && byTime)
}
