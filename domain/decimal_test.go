package domain_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
)

func TestDecimalsHoldFourDigitsExactly(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"18": "18", "12.5": "12.5", "0.0001": "0.0001", "-3.25": "-3.25", "1.50000": "1.5",
		"1e2": "100", "1.25E1": "12.5", "125e-2": "1.25", "999999.9999": "999999.9999", "-0": "0",
		"0e999999999999": "0",
	} {
		d, exact, ok := domain.ParseDecimal([]byte(number))
		require.True(t, ok && exact, number)
		require.Equal(t, want, d.String(), number)
	}
	for number, want := range map[string]string{
		"0.33333": "0.3333", "0.66665": "0.6667", "-0.66665": "-0.6667", "49.99999": "50",
		"0.00001": "0.0001", "1e-999999999": "0.0001", "0." + strings.Repeat("0", 5000) + "1": "0.0001",
	} {
		d, exact, ok := domain.ParseDecimal([]byte(number))
		require.True(t, ok && !exact, number)
		require.Equal(t, want, d.String(), number)
	}
	for _, number := range []string{"1e12", "1e999999999999", strings.Repeat("9", 5000)} {
		_, _, ok := domain.ParseDecimal([]byte(number))
		require.False(t, ok, number)
	}
	var d domain.Decimal
	require.Error(t, json.Unmarshal([]byte(`"18"`), &d))
	require.Error(t, json.Unmarshal([]byte(`1e30`), &d))
}

func TestDecimalsAreWhatIsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := domain.Decimal(rapid.Int64Range(-1e10, 1e10).Draw(t, "number"))
		text, err := json.Marshal(want)
		require.NoError(t, err)
		exact, _ := new(big.Rat).SetString(string(text))
		require.Equal(t, exact, big.NewRat(int64(want), 10_000))
		var got domain.Decimal
		require.NoError(t, json.Unmarshal(text, &got))
		require.Equal(t, want, got)
	})
}
