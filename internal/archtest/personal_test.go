package archtest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// What a person may demand to see, or to be removed, is found by the marks of members. A new member
// that is text is marked as somebody's, or says why it is nobody's.
func TestEveryTextSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	for _, f := range catalog.Facts() {
		rules := domain.RulesOf(f.New())
		for _, text := range domain.TextsOf(f) {
			needless := impersonalByForm(text, rules[text.Pointer])
			switch {
			case len(text.Of) > 0 && text.Reason != "":
				t.Errorf("%s%s is both somebody's and nobody's", f.Type, text.Pointer)
			case len(text.Of) == 0 && text.Reason == "" && !needless:
				t.Errorf("%s%s: say whose it is, as whose:\"student\", or why it is nobody's, as "+
					"impersonal:\"names a class\"", f.Type, text.Pointer)
			}
			for _, person := range text.Of {
				require.Contains(t, domain.People, person, "%s%s", f.Type, text.Pointer)
			}
		}
	}
}

// impersonalByForm reports a text that needs no reason, as its form leaves no room for what is
// personal: an id, which is opaque by contract, one of a closed list of words, a currency, a digest,
// a day, or a time of the school.
func impersonalByForm(text domain.Text, rules []domain.Rule) bool {
	name := text.Pointer[strings.LastIndexByte(text.Pointer, '/')+1:]
	switch {
	case strings.HasSuffix(name, "_id"), strings.HasSuffix(name, "_ids"):
		return true
	case name == "year", name == "term", text.Type == reflect.TypeFor[domain.Date]():
		return true
	case name == "channels", name == "roles": // entries of lists are checked one by one
		return true
	}
	return slices.ContainsFunc(rules, func(r domain.Rule) bool {
		return len(r.Enum) > 0 || r.Format == domain.FormatCurrency ||
			r.Format == domain.FormatSHA256
	})
}
