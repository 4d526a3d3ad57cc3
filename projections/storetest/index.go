package storetest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
)

// blocksOf are the blocks of a school in which it has events at the offsets.
func blocksOf(school string, offsets ...int64) (blocks []eventlog.Block) {
	for _, offset := range offsets {
		last := len(blocks) - 1
		if last < 0 || blocks[last].Number() != offset/eventlog.BlockSize {
			blocks, last = append(blocks, eventlog.Block{School: school}), last+1
		}
		blocks[last].Add(offset)
	}
	return blocks
}

// find reads the index of a school from an offset on, a few events at a time.
func (b *storeTest) find(school string, from int64, limit int) (all []int64, through int64) {
	for {
		found, err := b.store.Find(b.Context(), school, 0, from, limit)
		require.NoError(b, err)
		require.LessOrEqual(b, len(found.Offsets), limit)
		all = append(all, found.Offsets...)
		if found.Through <= from {
			return all, found.Through
		}
		from = found.Through
	}
}

// Events of two schools, far apart and close together, come in batches of any size.
func testIndex(t *testing.T, b *storeTest) {
	random := rand.New(rand.NewPCG(3, 3))
	claim := b.claim(0)
	of := map[string][]int64{}
	for range 60 {
		to := claim.Next
		fresh := map[string][]int64{}
		for range 1 + random.IntN(40) {
			// some offsets belong to nobody, and some schools leave out whole blocks
			to += 1 + int64(random.IntN(3)*random.IntN(300)*random.IntN(2))
			school := []string{"s", "s", "s", "z"}[random.IntN(4)]
			fresh[school] = append(fresh[school], to-1)
		}
		commit := &projections.Commit{From: claim.Next, To: to}
		for school, offsets := range fresh {
			commit.Blocks = append(commit.Blocks, blocksOf(school, offsets...)...)
			of[school] = append(of[school], offsets...)
		}
		require.NoError(t, b.store.Commit(t.Context(), claim, commit))
		claim.Next = to
	}
	require.Greater(t, claim.Next, int64(10*eventlog.BlockSize))
	for _, school := range []string{"s", "z", "nobody"} {
		for _, limit := range []int{1, 7, 5000} {
			all, through := b.find(school, 0, limit)
			require.Equal(t, of[school], all)
			require.Equal(t, claim.Next, through)
		}
		for range 50 {
			from := random.Int64N(claim.Next)
			all, _ := b.find(school, from, 100)
			first, _ := slices.BinarySearch(of[school], from)
			require.Equal(t, append([]int64(nil), of[school][first:]...), all)
		}
	}
	old := claim
	b.claim(0)
	require.ErrorIs(t, b.store.Commit(t.Context(), old, &projections.Commit{
		From: claim.Next, To: claim.Next + 1, Blocks: blocksOf("s", claim.Next),
	}), projections.ErrFenced)
	all, _ := b.find("s", 0, 5000)
	require.Equal(t, of["s"], all)
}
