package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	testName = regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(`)
	promise  = regexp.MustCompile(`^TestP\d+_`)
	quoted   = regexp.MustCompile("`([^`]+)`")
)

// docs/RELIABILITY.md names every test that holds a promise, by its name or under the `TestP3_…` of
// its package, and no test that does not exist.
func TestEveryPromiseNamesItsTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "RELIABILITY.md"))
	require.NoError(t, err)
	named := map[string]bool{} // tests
	// packages whose tests of a promise are listed together, by `TestP3_…`
	groups := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		var packages []string
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			name := m[1]
			switch {
			case !strings.HasPrefix(name, "Test"):
				packages = append(packages, name)
			case strings.HasSuffix(name, "…"):
				prefix := strings.TrimSuffix(name, "…")
				groups[prefix] = append(groups[prefix], packages...)
			default:
				named[name] = true
			}
		}
	}
	exists := map[string]bool{}
	for _, p := range list(t) {
		dir := strings.TrimSuffix(p.name(), "/")
		files, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range testName.FindAllStringSubmatch(string(source), -1) {
				test := m[1]
				exists[test] = true
				inGroup := slices.ContainsFunc(groups[promise.FindString(test)],
					func(pattern string) bool {
						parent, all := strings.CutSuffix(pattern, "/*")
						return pattern == dir || all && strings.HasPrefix(dir, parent+"/")
					})
				if promise.MatchString(test) && !named[test] && !inGroup {
					t.Errorf("%s %s: not in docs/RELIABILITY.md", dir, test)
				}
			}
		}
	}
	for _, other := range []string{"SECURITY.md", "ASVS.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", other))
		require.NoError(t, err)
		for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(m[1], "Test") && !exists[m[1]] {
				t.Errorf("docs/%s names %s, which does not exist", other, m[1])
			}
		}
	}
	for test := range named {
		if !exists[test] {
			t.Errorf("docs/RELIABILITY.md names %s, which does not exist", test)
		}
	}
}
