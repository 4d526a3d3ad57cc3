package schema_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/cloudevents/schema"
)

// parserVersion is the official parser that judges the document.
const parserVersion = "3.6.3"

const judge = `
const { Parser } = require('@asyncapi/parser');
const { readFileSync } = require('fs');
new Parser().parse(readFileSync(process.argv[2], 'utf8')).then(({ document, diagnostics }) => {
  const faults = diagnostics.filter((d) => d.severity <= 1);
  for (const d of faults) console.error(d.path.join('/') + ': ' + d.message);
  console.log(document ? document.allMessages().all().length : 0);
  process.exit(document && faults.length === 0 ? 0 : 1);
});
`

func TestTheOfficialParserTakesTheAsyncAPIDocument(t *testing.T) {
	t.Parallel()
	dir := parserDir(t)
	document, err := schema.AsyncAPI("1.0.0")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "asyncapi.json")
	require.NoError(t, os.WriteFile(file, document, 0o600))
	script := filepath.Join(dir, "judge.cjs")
	require.NoError(t, os.WriteFile(script, []byte(judge), 0o600))
	out, err := exec.CommandContext(t.Context(), "node", script, file).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "23", string(bytes.TrimSpace(out)), "messages")
}

// parserDir is a directory with the parser, fetched once on each machine.
func parserDir(t *testing.T) string {
	t.Helper()
	missing := func(why string) {
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			missing("the official parser needs " + program)
		}
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "schoolbell", "asyncapi-parser-"+parserVersion)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@asyncapi", "parser", "package.json")); err == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(dir, 0o750))
	install := exec.CommandContext(t.Context(), "npm", "install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "@asyncapi/parser@"+parserVersion)
	if out, err := install.CombinedOutput(); err != nil {
		missing("fetch the official parser: " + string(out))
	}
	return dir
}
