package consumers_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/consumers"
)

func TestNumbersAreDialledAsTheirCountryWritesThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ country, number, want string }{
		// a spreadsheet has dropped the plus, the zero, or both
		{"44", "447911123459", "+447911123459"},
		{"44", "7911123469", "+447911123469"},
		{"61", "61438331999", "+61438331999"},
		{"1", "15125550100", "+15125550100"},
		{"49", "4917139200123", "+4917139200123"},
		// both a country's code and the digit that is dialled within it only
		{"44", "+44 07911 123481", "+447911123481"},
		{"44", "+44 (0)7911 123481", "+447911123481"},
		{"33", "+33 (0)6 12 34 56 78", "+33612345678"},
		{"", "+44 (0)20 7946 0001", "+442079460001"},
		{"33", "0044 (0) 20 7946 0001", "+442079460001"},
		// 00 and a plus
		{"44", "00447911123459", "+447911123459"},
		{"44", "+0044 7911 123459", "+447911123459"},
		{"33", "(00) 44 20 7946 0001", "+442079460001"},
		{"44", "0039 06 1234 5678", "+390612345678"},
		{"39", "06 1234 5678", "+390612345678"},
		// as people write them
		{"44", "(07911) 123-470", "+447911123470"},
		{"44", "0 7911 123479", "+447911123479"},
		{"44", "07911.123.479", "+447911123479"},
		{"44", "(0)20 7946 0001", "+442079460001"},
		{"33", "06 12 34 56 78", "+33612345678"},
		{"225", "07 00 00 00 00", "+2250700000000"}, // there the zero belongs to the number
		{"234", "0802 000 1234", "+2348020001234"},
		{"254", "0700 000 123", "+254700000123"},
		{"52", "55 0000 1234", "+525500001234"},
		{"7", "8 912 345 67 89", "+79123456789"},
		{"36", "06 20 123 4567", "+36201234567"},
		{"", "(512) 555-0100", "+15125550100"},
		{"", "1 512 555 0100", "+15125550100"},
		{"33", "+1 512 555 0100", "+15125550100"},
		// copied from a telephone: direction marks and spaces that do not break
		{"44", "\u202a+44\u00a07911\u00a0123459\u202c", "+447911123459"},
		{"44", "\u206607911\u202f123459\u2069", "+447911123459"},
		{"44", "\u200e07911 123459", "+447911123459"},
		// no text can be sent there
		{"", "512 555 0100 x12", ""},
		{"44", "020 7946 0001 x3", ""},
		{"", "512.555.0101/2", ""},
		{"", "512 555 0101 / 512 555 0102", ""},
		{"", "555-0100", ""},
		{"", "911", ""},
		{"44", "999", ""},
		{"44", "079111234599999", ""},
		{"44", "33612345678", ""}, // of another country, without a plus: nobody can tell
		{"", "+1 2345 6789 0123 4567", ""},
		{"44", "+", ""},
		{"44", "00", ""},
		{"", "", ""},
	} {
		rules := consumers.PhoneRules{Country: c.country, Trunk: "0"}
		require.Equal(t, c.want, rules.E164(c.number), "%q in %s", c.number, c.country)
	}
}

func TestANumberThatIsDialledStaysItself(t *testing.T) {
	t.Parallel()
	e164 := regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	rapid.Check(t, func(t *rapid.T) {
		rules := consumers.PhoneRules{
			Country: rapid.SampledFrom([]string{"", "1", "33", "39", "44", "225", "234", "7"}).Draw(t, "country"),
		}
		number := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789+()-./ x\u00a0\u202a")), 3, 24, -1).
			Draw(t, "number")
		dialled := rules.E164(number)
		if dialled == "" {
			return
		}
		require.Regexp(t, e164, dialled)
		elsewhere := consumers.PhoneRules{Country: "49"}
		require.Equal(t, dialled, elsewhere.E164(dialled), "of %q", number)
		require.Equal(t, dialled, elsewhere.E164("00"+strings.TrimPrefix(dialled, "+")))
	})
}
