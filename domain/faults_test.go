package domain_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
)

// accepted runs a check and reports whether it found nothing.
func accepted(check func(f *domain.Faults)) bool {
	var f domain.Faults
	check(&f)
	return len(f.List) == 0
}

func TestChecksOfTexts(t *testing.T) {
	t.Parallel()
	type check func(f *domain.Faults, pointer, v string)
	text := func(f *domain.Faults, p, v string) { f.Text(p, v, 10) }
	label := func(f *domain.Faults, p, v string) { f.Label(p, domain.Label(v)) }
	oneOf := func(f *domain.Faults, p, v string) { f.OneOf(p, v, "a", "b") }
	for _, test := range []struct {
		name      string
		check     check
		good, bad []string
	}{
		{
			"id", (*domain.Faults).ID,
			[]string{"s-1", "Éa b", "日本", strings.Repeat("x", 128)},
			[]string{"", " a", "a ", "a\n", "a\x00b", "\xff", strings.Repeat("x", 129)},
		},
		{"optional id", (*domain.Faults).OptionalID, []string{"", "a"}, []string{" ", "\t"}},
		{
			"text", text,
			[]string{"a", " a\n", "0123456789"},
			[]string{"", " \n", "01234567890", "a\x00", "\xff"},
		},
		{
			"name", (*domain.Faults).Name,
			[]string{
				"Ada", "محمد \u200fعلي", "שרה", "O’Brien-Åström", "Nguyễn Thị", "क्षत्रिय\u200d",
				strings.Repeat("x", 512),
			},
			[]string{
				"", " ", "a\nb", "a\r\nb", "a\tb", "a\x7f", "a\u0085b", "a\u2028b", "\u202Egnp.exe",
				"\u2066a\u2069", "a\x00", "\xff", strings.Repeat("x", 513),
			},
		},
		{
			"optional name", (*domain.Faults).OptionalName,
			[]string{"", "Ada"},
			[]string{"a\nb", "\u202E", strings.Repeat("x", 513)},
		},
		{"label", label, []string{"2026-2027", "7"}, []string{"", strings.Repeat("x", 33), " 7"}},
		{"one of", oneOf, []string{"a", "b"}, []string{"", "A", "ab"}},
		{
			"currency", (*domain.Faults).Currency,
			[]string{"EUR", "XOF"},
			[]string{"", "eur", "EURO", "EU1", "€UR"},
		},
		{
			"url", (*domain.Faults).OptionalURL,
			[]string{"", "https://a.example/x?y#z", "http://a"},
			[]string{
				"a", "//a.example", "ftp://a", "https://", "javascript:alert(1)",
				"https://a/" + strings.Repeat("x", 1024),
			},
		},
		{
			"phone", (*domain.Faults).OptionalPhone,
			[]string{"", "+33 1 23 45 67 89", "(555) 010-1234 x12", "112", "\u202a+44\u00a07911\u202f123459\u202c"},
			[]string{"12", "٠٧٩١١١٢٣٤٥٩", "＋44 7911 123459", "07911\u200b123459", "call me", "+", "1234567890123456789012", "12\n345"},
		},
		{
			"email", (*domain.Faults).OptionalEmail,
			[]string{"", "a@b.example", "a+b@c.d.e"},
			[]string{
				"a", "@b.c", "a@b", "a b@c.d", "a@b.c,d@e.f", "a@b.c\x00",
				strings.Repeat("x", 251) + "@b.c",
			},
		},
		{
			"language", (*domain.Faults).OptionalLanguage,
			[]string{"", "es", "pt-BR", "zh-Hant-TW"},
			[]string{"e", "es_MX", "toolonglang", "es-", "é"},
		},
		{
			"sha256", (*domain.Faults).SHA256,
			[]string{strings.Repeat("0a", 32)},
			[]string{
				"", strings.Repeat("0A", 32), strings.Repeat("0", 63),
				strings.Repeat("g", 64),
			},
		},
	} {
		for _, v := range test.good {
			require.True(t, accepted(func(f *domain.Faults) { test.check(f, "/x", v) }), "%s: %q",
				test.name, v)
		}
		for _, v := range test.bad {
			require.False(t, accepted(func(f *domain.Faults) { test.check(f, "/x", v) }), "%s: %q",
				test.name, v)
		}
	}
}

// What is in the log already stays valid.
func TestAnAddressHasOneAtSignWhenItArrives(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"a@b@c.com", "a@b.c@d"} {
		old, arriving := domain.Faults{}, domain.Faults{Day: domain.NewDate(2026, 11, 29)}
		old.OptionalEmail("/email", v)
		require.Empty(t, old.List)
		arriving.OptionalEmail("/email", v)
		require.Equal(t, "/email", arriving.List[0].Pointer)
	}
}

func TestChecksOfNumbers(t *testing.T) {
	t.Parallel()
	for v, want := range map[int64]bool{
		1: true, domain.MaxAmount: true, 0: false, -1: false,
		domain.MaxAmount + 1: false, math.MinInt64: false,
	} {
		require.Equal(t, want, accepted(func(f *domain.Faults) { f.Amount("/x", v) }), v)
	}
	const one = domain.DecimalUnit
	for _, test := range []struct {
		score, maxScore domain.Decimal
		extra, want     bool
	}{
		{0, 20 * one, false, true},
		{20 * one, 20 * one, false, true},
		{5000, domain.MaxScore * one, false, true}, // the log has it; see below
		{20*one + 1, 20 * one, false, false},
		{20*one + 1, 20 * one, true, true},
		{40 * one, 20 * one, true, true},
		{40*one + 1, 20 * one, true, false},
		{-1, 20 * one, false, false},
		{-1, 20 * one, true, false},
		{0, 0, false, false},
		{0, -1, false, false},
		{1, domain.MaxScore*one + 1, false, false},
	} {
		require.Equal(t, test.want, accepted(func(f *domain.Faults) {
			f.Score("/x", test.score, test.maxScore, test.extra)
		}), test)
	}
	require.False(t, accepted(func(f *domain.Faults) {
		f.Day = domain.NewDate(2026, 9, 1) // as it arrives
		f.Score("/x", 0, domain.MaxScore*one, false)
	}), "6 digits before the point")
	for weight, want := range map[domain.Decimal]bool{
		0: true, 1: true, domain.MaxWeight * one: true, -1: false, domain.MaxWeight*one + 1: false,
	} {
		require.Equal(t, want,
			accepted(func(f *domain.Faults) { f.OptionalWeight("/x", weight) }), weight)
	}
	for n, want := range map[int64]bool{0: false, 1: true, 20: true, 21: false} {
		require.Equal(t, want, accepted(func(f *domain.Faults) { f.Between("/x", n, 1, 20) }), n)
	}
	require.True(t, accepted(func(f *domain.Faults) { f.AtLeast("/x", 0, 0) }))
	require.False(t, accepted(func(f *domain.Faults) { f.AtLeast("/x", -1, 0) }))
}

func TestChecksOfDatesAndLists(t *testing.T) {
	t.Parallel()
	for d, want := range map[domain.Date]bool{
		0: false, domain.NewDate(1899, 12, 31): false, domain.NewDate(1900, 1, 1): true,
		domain.NewDate(2199, 12, 31): true, domain.NewDate(2200, 1, 1): false,
	} {
		require.Equal(t, want, accepted(func(f *domain.Faults) { f.Date("/x", d) }), d)
	}
	require.True(t, accepted(func(f *domain.Faults) { f.OptionalDate("/x", 0) }))
	for d, want := range map[domain.Date]bool{
		domain.NewDate(1900, 1, 1): true, domain.NewDate(2027, 9, 2): true,
		domain.NewDate(2027, 9, 3): false, domain.NewDate(2062, 9, 8): false,
	} {
		arriving := domain.Faults{Day: domain.NewDate(2026, 9, 1)}
		arriving.Date("/x", d)
		require.Equal(t, want, arriving.Err() == nil, d)
	}

	var f domain.Faults
	f.IDs("/x", []string{"a", "", "b", " "})
	require.Equal(t, []domain.Fault{
		{Pointer: "/x/1", Reason: "is required"},
		{Pointer: "/x/3", Reason: "must be printable text without spaces at its ends"},
	}, f.List)
	require.EqualError(t, f.Err(),
		"invalid event: /x/1 is required; /x/3 must be printable text without spaces at its ends")
	require.False(t,
		accepted(func(f *domain.Faults) { f.IDs("/x", make([]string, domain.MaxListLength+1)) }))
	require.NoError(t, (&domain.Faults{}).Err())
}

func TestTypesAreTakenApart(t *testing.T) {
	t.Parallel()
	context, fact, version, err := domain.SplitType("schoolbell.student.enrolled.v12")
	require.NoError(t, err)
	require.Equal(t, []any{"student", "enrolled", 12}, []any{context, fact, version})
	for _, s := range []string{
		"", "schoolbell.student.enrolled", "other.student.enrolled.v1",
		"schoolbell..enrolled.v1", "schoolbell.a.b.vx", "schoolbell.a.b.v-1", "schoolbell.a.b.1",
		"schoolbell.a.b.c.v1",
	} {
		_, _, _, err := domain.SplitType(s)
		require.Error(t, err, s)
	}
}

func TestRoomsHaveNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "student:s-1", domain.Room{Kind: domain.RoomStudent, ID: "s-1"}.String())
	require.Equal(t, "school", domain.Room{Kind: domain.RoomSchool}.String())
}
