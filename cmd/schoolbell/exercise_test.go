package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// An event of a new context and a read model with a route are added to a copy of the source: new
// files, and the edits of existing ones that docs/ARCHITECTURE.md states. All else is generated,
// or follows. The suites that guard events and read models pass then, and the program answers.
func TestAddingAnEventAndAReadModelTakesTheEditsThatAreStated(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "git", "go")
	tree := t.TempDir()
	copySource(t, tree)
	require.NoError(t, os.CopyFS(tree, os.DirFS("testdata/exercise")))

	edits := 0
	edit := func(file string, lines ...[2]string) {
		edits++
		path := filepath.Join(tree, file)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, l := range lines {
			require.Contains(t, string(text), l[0], file)
			text = bytes.Replace(text, []byte(l[0]), []byte(l[0]+l[1]), 1)
		}
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
	const module = `	"github.com/schoolbell/schoolbell/`
	edit("domain/catalog/catalog.go",
		[2]string{module + "domain/guardian\"\n", module + "domain/library\"\n"},
		[2]string{"\tstudent.Facts,\n", "\tlibrary.Facts,\n"})
	edit(
		"projections/catalog/catalog.go",
		[2]string{module + "projections/fees\"\n", module + "projections/library\"\n"},
		[2]string{
			"\t{fees.Projection, fees.Queries},\n",
			"\t{library.Projection, library.Queries},\n",
		},
	)

	before := contents(t, tree)
	goTest(t, tree, []string{"SCHOOLBELL_GOLDEN=update"}, "-run", "Golden", "./domain/catalog",
		"./internal/httpapi")
	goTest(t, tree, nil, "./domain/...", "./eventlog/cloudevents/...", "./internal/archtest",
		"./projections/library")
	goTest(t, tree, nil, "-run", "Catalog|Declared|TablesInPostgreSQL|EachQuery",
		"./projections/catalog")
	goTest(t, tree, nil, "-run", "GoldenOpenAPI", "./internal/httpapi")
	goTest(t, tree, nil, "-run", "^TestLibrary$", "./cmd/schoolbell")

	for file, text := range contents(t, tree) {
		if before[file] != text {
			require.Contains(t, file, "/testdata/", "only goldens are generated")
		}
	}
	document, err := os.ReadFile("../../docs/ARCHITECTURE.md")
	require.NoError(t, err)
	stated := regexp.MustCompile(`edits of (\d+) existing\s+files`).FindSubmatch(document)
	require.NotNil(t, stated, "docs/ARCHITECTURE.md states how many files are edited")
	require.Equal(t, string(stated[1]), strconv.Itoa(edits))
}

// copySource copies what git has or would take.
func copySource(t *testing.T, to string) {
	list := exec.CommandContext(
		t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
	)
	list.Dir = "../.."
	out, err := list.Output()
	require.NoError(t, err)
	for file := range strings.SplitSeq(strings.Trim(string(out), "\x00"), "\x00") {
		if at, err := os.Stat(filepath.Join("../..", file)); err == nil && at.IsDir() {
			continue // a link to a folder whose files are listed too
		}
		text, err := os.ReadFile(filepath.Join("../..", file))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		require.NoError(t, err)
		path := filepath.Join(to, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
}

func contents(t *testing.T, tree string) map[string]string {
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, tree)] = string(text)
		return err
	}))
	return all
}

// goTest runs go test in the copy. With -trimpath it finds in the cache what is built there
// already.
func goTest(t *testing.T, tree string, env []string, args ...string) {
	t.Helper()
	test := exec.CommandContext(
		t.Context(),
		"go",
		append([]string{"test", "-trimpath"}, args...)...)
	test.Dir, test.Env = tree, append(append(os.Environ(), "SCHOOLBELL_REAL="), env...)
	out, err := test.CombinedOutput()
	require.NoError(t, err, "go test %s\n%s", strings.Join(args, " "), out)
}
