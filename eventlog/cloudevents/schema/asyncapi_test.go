package schema_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents/schema"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// judge is a script for the official parser.
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
	devtest.Real(t, "node", "npm")
	dir := devtest.NodePackages(t, os.DirFS("testdata"))
	document, err := schema.AsyncAPI("1.0.0")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "asyncapi.json")
	require.NoError(t, os.WriteFile(file, document, 0o600))
	node := exec.CommandContext(t.Context(), "node", "-", file)
	node.Dir, node.Stdin = dir, strings.NewReader(judge)
	out, err := node.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, strconv.Itoa(len(catalog.Facts())+1), string(bytes.TrimSpace(out)),
		"a message for each fact, and dead letters")
}
