package search_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/projections/search"
)

func TestNamesAreFoundHoweverTheyAreTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family, given string
		typed         []string
	}{
		{"Straße", "Groß", []string{"STRASSE", "straße", "strasse", "STRAẞE", "gross"}},
		{"王", "小明", []string{"王小明", "王 小明", "小明", "小明王"}},
		{"김", "민수", []string{"김민수", "김 민수", "민수"}},
		{"ใจดี", "สมชาย", []string{"สมชายใจดี", "สมชาย ใจดี", "ใจดี"}},
		{"山田", "花子", []string{"山田花子", "山田　花子"}},
		{"タナカ", "ｶﾞｸ", []string{"タナカガク", "ガク", "ｶﾞｸ"}},
		{"O’Brien", "Seán", []string{"O'Brien", "obrien", "o‘brien", "O`Brien", "O´BRIEN", "sean"}},
		{"O Brien", "Ann", []string{"obrien", "o'brien", "o brien"}},
		{"Smith-Jones", "Anna-Lena", []string{
			"smith jones", "smithjones", "Smith–Jones", "smith‐jones", "annalena", "anna lena",
		}},
		{"de la Cruz", "Jose Maria", []string{"delacruz", "De La Cruz", "José-María"}},
		{"Sørensen", "Łukasz", []string{"sorensen", "SØRENSEN", "lukasz", "łuk"}},
		{"Đặng", "Nguyễn", []string{"dang nguyen", "ĐẶNG"}},
		{"Yıldız", "İbrahim", []string{"yildiz", "YILDIZ", "ibrahim", "IBRAHIM", "ıbrahim"}},
		{"Παπαδόπουλος", "Γιώργος", []string{
			"ΠΑΠΑΔΟΠΟΥΛΟΣ", "παπαδοπουλοσ", "γιωργος", "ΓΙΏΡΓΟΣ",
		}},
		{"Þórsdóttir", "Ægir", []string{"thorsdottir", "aegir", "ÞÓRS"}},
		{"Ёлкин", "Андрій", []string{"елкин", "ЁЛКИН", "андріи"}},
		{"أحمد", "فاطمة", []string{"احمد", "فاطمه", "أحـمد", "فَاطِمَة"}},
		{"کریمی", "علی", []string{"كريمي", "علي"}},
		{"כֹּהֵן", "שָׂרָה", []string{"כהן", "שרה"}},
		{"कुमार", "अनिल", []string{"कुमार", "अनिल"}},
		{"Ferrer i Gal·la", "ﬁona", []string{"galla", "fiona"}},
		{"ᎠᏂ", "Ꭰ", []string{"ꭰꮒ", "ᎠᏂ"}},
		{"100%", `A_B\C`, []string{"100%", "_", `\`}},
	} {
		for _, typed := range c.typed {
			for _, form := range []norm.Form{norm.NFC, norm.NFD} {
				key := search.Key(form.String(c.family), form.String(c.given))
				require.True(t, search.In(key, search.Words(typed)),
					"%q is not found in %s %s: %q", typed, c.family, c.given, key)
			}
		}
	}
}

func TestOtherNamesAreNotFound(t *testing.T) {
	t.Parallel()
	for name, typed := range map[string]string{
		"Brian": "brien", "कुमार": "कमार", "カク": "ガク", "王 大明": "王小明", "Lee": "le e x",
	} {
		family, given, _ := strings.Cut(name, " ")
		require.False(t, search.In(search.Key(family, given), search.Words(typed)), name)
	}
}

func TestAPartOfAnyNameIsFoundInIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		family, given := rapid.String().Draw(t, "family"), rapid.String().Draw(t, "given")
		id := rapid.StringMatching(`[A-Za-z0-9:_.-]{1,12}`).Draw(t, "id")
		key := search.Key(family, given, "", id)
		for _, typed := range []string{family, given, given + " " + family, id} {
			require.True(t, search.In(key, search.Words(typed)), "%q in %q", typed, key)
		}
		folded := search.Fold(family)
		require.Equal(t, folded, search.Fold(folded), "folding again changes nothing")
	})
}
