package edfi

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
)

func TestRepairPhone(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"(950) 342 7522":        "(950) 342 7522",
		"(214) 876-8290 x 12":   "(214) 876-8290 x12",
		"214.876.8290 Ext. 123": "214.876.8290 x123",
		"214 876 8290 #5":       "214 876 8290 x5",
		"tel: +49 30 1234":      "+49 30 1234",
		"٠٣٠ ٥٥٥":               "030 555",
		"０３０-５５５":               "030-555",
		"०१२ ३४५":               "012 345",
		"12":                    "",
		"unlisted":              "",
		"":                      "",
	} {
		got, changed := repairPhone(in)
		require.Equal(t, want, got, in)
		require.Equal(t, in != want || want == "", changed, in)
		var f domain.Faults
		f.OptionalPhone("", got)
		require.NoError(t, f.Err(), in)
	}
}

func TestRepairID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 100)
	a, changed := repairID(long + "a")
	require.True(t, changed)
	b, _ := repairID(long + "b")
	require.NotEqual(t, a, b)
	for _, id := range []string{a, b} {
		var f domain.Faults
		f.ID("", id)
		require.NoError(t, f.Err())
	}
	same, changed := repairID("25590100102Trad220ALG112011")
	require.False(t, changed)
	require.Equal(t, "25590100102Trad220ALG112011", same)
}

func TestRepairText(t *testing.T) {
	t.Parallel()
	got, changed := repairText(" Ana \n\t María\x00 ", 512)
	require.Equal(t, "Ana María", got)
	require.True(t, changed)
	got, changed = repairText("日本語", 7)
	require.Equal(t, "日本", got)
	require.True(t, changed)
}

func TestRepairEmail(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a@example.org":                  "a@example.org",
		"Ana Ruiz <ana@example.org>":     "ana@example.org",
		"mailto:ana@example.org":         "ana@example.org",
		"ana at example.org":             "",
		"two@example.org, b@example.org": "",
	} {
		got, _ := repairEmail(in)
		require.Equal(t, want, got, in)
	}
}
