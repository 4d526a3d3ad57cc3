package realtime_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

func TestP6_ResumeTokensAreForOneUserSchoolAndLog(t *testing.T) {
	t.Parallel()
	log := memlog.New(4)
	n, sibling := rt.Start(t, log, nil), rt.Start(t, log, nil)
	otherKey := rt.Start(t, log,
		func(c *realtime.Config) { c.Key = []byte("another key of 32 bytes or more.") })
	for _, node := range []*rt.Node{n, sibling, otherKey} {
		node.Kill() // they would fail with the log replaced; tokens need no running node
	}
	log.Recreate()
	otherLog := rt.Start(t, log.Open(), nil)
	resume := realtime.Resume{
		Position: domain.LogID("k3f9a").At(domain.Position{Partition: 3, Offset: 42}),
		Rooms:    []domain.Room{class("7a"), {Kind: domain.RoomSchool}},
	}
	token := n.Seal("may", rt.School, resume)
	got, err := sibling.Unseal(t.Context(), "may", rt.School, token)
	require.NoError(t, err)
	require.Equal(t, resume, got)
	for name, try := range map[string]func() (realtime.Resume, error){
		"another user": func() (realtime.Resume,
			error,
		) {
			return n.Unseal(t.Context(), "mum", rt.School, token)
		},
		"another school": func() (realtime.Resume,
			error,
		) {
			return n.Unseal(t.Context(), "may", "south", token)
		},
		"another key": func() (realtime.Resume,
			error,
		) {
			return otherKey.Unseal(t.Context(), "may", rt.School, token)
		},
		"another log": func() (realtime.Resume,
			error,
		) {
			return otherLog.Unseal(t.Context(), "may", rt.School, token)
		},
		"shifted names": func() (realtime.Resume,
			error,
		) {
			return n.Unseal(t.Context(), "mayg", rt.School[1:], token)
		},
		"an epoch": func() (realtime.Resume, error) {
			return n.Unseal(t.Context(), "may", rt.School, n.EpochFor("may", rt.School))
		},
		"nothing": func() (realtime.Resume,
			error,
		) {
			return n.Unseal(t.Context(), "may", rt.School, "")
		},
	} {
		_, err := try()
		require.ErrorIs(t, err, realtime.ErrForeignToken, name)
	}
	require.NotEqual(t, n.EpochFor("may", rt.School), n.EpochFor("mum", rt.School))
	require.Equal(t, n.EpochFor("may", rt.School), sibling.EpochFor("may", rt.School))
	require.NotEqual(t, n.EpochFor("may", rt.School), otherLog.EpochFor("may", rt.School))
	rapid.Check(t, func(t *rapid.T) {
		forged := []byte(token)
		i := rapid.IntRange(0, len(forged)-1).Draw(t, "at")
		forged[i] = rapid.SampledFrom([]byte("ABCxyz019-_!")).Draw(t, "byte")
		if string(forged) == token {
			return
		}
		if r, err := n.Unseal(t.Context(), "may", rt.School, string(forged)); err == nil &&
			i < len(forged)-1 {
			t.Fatalf("forged token was accepted: %v", r)
		}
	})
}

// A client that reconnects while a node starts must not be refused as if its position belonged to
// another log.
func TestP6_StartingHubRefusesNoToken(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	want := realtime.Resume{Position: domain.LogPosition{
		Position: domain.Position{Partition: 1, Offset: 7},
	}}
	token := n.Seal("may", rt.School, want)
	starting, err := realtime.New(realtime.Config{Log: n.Log, Key: rt.Key})
	require.NoError(t, err)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = starting.Unseal(impatient, "may", rt.School, token)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, realtime.ErrForeignToken)

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- starting.Run(ctx) }()
	got, err := starting.Unseal(t.Context(), "may", rt.School, token)
	require.NoError(t, err)
	require.Equal(t, want, got)
	stop()
	require.NoError(t, <-ended)
}
