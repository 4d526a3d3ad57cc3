package domain_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
)

func TestPositionsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := domain.Position{
			Partition: rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition"),
			Offset:    rapid.Int64Range(-1, math.MaxInt64).Draw(t, "offset"),
		}
		again, err := domain.ParsePosition(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func TestOnlyOneSpellingIsAPosition(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", ":", "7", "7:", ":7", "7:1042 ", " 7:1042", "07:1", "7:01", "+7:1", "7:+1", "-1:5",
		"7:-2", "7:-0", "7:1:2", "7;1",
		"7:1e3", "0x7:1", "2147483648:0", "7:9223372036854775808", "٧:١",
		strings.Repeat("9", 1000) + ":1",
	} {
		_, err := domain.ParsePosition(s)
		require.Error(t, err, s)
		require.Less(t, len(err.Error()), 150, "an error does not repeat whatever it was given")
	}
	p, err := domain.ParsePosition("7:-1")
	require.NoError(t, err)
	require.Equal(t, domain.Position{Partition: 7, Offset: -1}, p)
}

func TestPositionsAreText(t *testing.T) {
	t.Parallel()
	var p domain.Position
	require.NoError(t, p.UnmarshalText([]byte("7:1042")))
	b, err := p.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "7:1042", string(b))
	require.Error(t, p.UnmarshalText([]byte("x")))
	require.EqualValues(t, 1042, p.Offset, "what cannot be read changes nothing")
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{
		"7:1042", "0:0", "0:-1", "2147483647:9223372036854775807", "-0:1",
		"1:2:3", "１:1", "1:\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := domain.ParsePosition(s)
		if err == nil {
			require.Equal(t, s, p.String())
		}
	})
}
