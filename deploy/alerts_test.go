package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var alertName = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)

// Who is woken by an alert finds what to do, and every alert has been seen to fire.
func TestEveryAlertHasARunbookAndATest(t *testing.T) {
	t.Parallel()
	read := func(file string) string {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(b)
	}
	rules, tests := read("prometheus/alerts.yml"), read("prometheus/alerts_test.yml")
	operations := read("../docs/OPERATIONS.md")
	pages := map[string]bool{}
	files, err := filepath.Glob("../docs/runbooks/*.md")
	require.NoError(t, err)
	for _, f := range files {
		pages[strings.TrimSuffix(filepath.Base(f), ".md")] = true
	}
	for _, m := range alertName.FindAllStringSubmatch(rules, -1) {
		name := m[1]
		require.True(t, pages[name], "docs/runbooks/%s.md", name)
		delete(pages, name)
		url := "runbook_url: https://github.com/schoolbell/schoolbell/blob/main/docs/runbooks/" + name + ".md\n"
		require.Contains(t, rules, url)
		require.Contains(t, operations, "[`"+name+"`](runbooks/"+name+".md)")
		require.Regexp(t, `alertname: `+name+`\n +exp_alerts:\n +- exp_labels:`, tests, "a test in which it fires")
		page := read("../docs/runbooks/" + name + ".md")
		require.True(t, strings.HasPrefix(page, "# "+name+"\n"))
		for _, part := range []string{"**Who notices.**", "**What to do**", "\n1. "} {
			require.Contains(t, page, part, name)
		}
	}
	require.Empty(t, pages, "pages of no alert")
}
