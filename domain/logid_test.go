package domain_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
)

func TestPositionsNameTheirLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := domain.Position{
			Partition: rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition"),
			Offset:    rapid.Int64Range(-1, math.MaxInt64).Draw(t, "offset"),
		}
		topic, generation := rapid.String().Draw(t, "topic"), rapid.Int32().Draw(t, "generation")
		id := domain.LogIDOf(topic, generation)
		named := id.At(p)
		require.Regexp(t, `^\d+:-?\d+-[0-9a-z]{5}$`, named.String())
		for _, s := range []string{named.String(), p.String()} {
			read, err := id.Parse(s)
			require.NoError(t, err)
			require.Equal(t, p, read)
		}
		_, err := domain.LogIDOf(topic, generation+1).Parse(named.String())
		require.ErrorIs(t, err, domain.ErrOtherLog)
	})
}

func TestWhatIsNoPositionNamesNoLog(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"7:1042-", "7:1042-k3f9", "7:1042-K3F9A", "7:1042-k3f9ab", "7:-k3f9a", "-k3f9a", "7:-12345",
		"7:1042-k3 9a", "7:1042-k3f9a-k3f9a",
	} {
		require.Error(t, new(domain.LogPosition).UnmarshalText([]byte(s)), s)
	}
}
