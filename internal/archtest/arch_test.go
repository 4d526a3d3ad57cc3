package archtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/catalog"
)

const (
	module   = "github.com/schoolbell/schoolbell/"
	root     = "../.."
	maxLines = 800
)

// layer says what packages of one part of the tree may import of ours. The first that matches
// counts. "x/…" is x and everything below it.
type layer struct {
	packages string
	may      []string
	why      string
}

var layers = []layer{
	{"domain", nil, "the domain imports nothing of ours"},
	{"domain/catalog", []string{"domain/…"}, "the catalog lists the contexts"},
	{"domain/exact", nil, "it is arithmetic"},
	{
		"domain/presence",
		[]string{"domain", "domain/attendance", "domain/calendar", "domain/exact"},
		"it counts the marks of one context by the calendar of another",
	},
	{"domain/…", []string{"domain", "domain/exact"}, "contexts do not know each other"},
	{"numbers", []string{"domain/…"}, "it calculates from events what the read models say, without them"},
	{"eventlog", []string{"domain"}, "the contract of the log knows the envelope and positions"},
	{"eventlog/logtest", []string{"domain/…", "eventlog/…"}, "it proves logs, for tests"},
	{
		"eventlog/cloudevents/schema",
		[]string{"domain/…", "eventlog/cloudevents"},
		"it describes events as the codec writes them",
	},
	{
		"eventlog/checkpoint",
		[]string{"domain", "eventlog"},
		"it holds positions of the log, in PostgreSQL",
	},
	{
		"eventlog/deadletter",
		[]string{"domain", "eventlog", "eventlog/checkpoint"},
		"it holds records that cannot be used, in PostgreSQL",
	},
	{
		"eventlog/…",
		[]string{"domain/…", "eventlog"},
		"codecs and logs know the domain and the contract",
	},
	{"ingest", []string{
		"domain/…", "eventlog", "eventlog/cloudevents", "eventlog/checkpoint",
		"eventlog/deadletter",
	}, "it knows the log, and Kafka by its contract"},
	{"ingest/authors", []string{"domain"}, "it says who wrote what"},
	{"ingest/imports", []string{
		"domain/…", "eventlog", "eventlog/cloudevents", "eventlog/checkpoint", "ingest",
		"projections/…",
	}, "it compares packages with the read models, and writes what differs to the log"},
	{"projections", []string{"domain/…", "eventlog"}, "the engine knows the log by its contract"},
	{
		"projections/memstore",
		[]string{"domain/…", "projections", "eventlog"},
		"it is the engine's store in memory",
	},
	{"projections/storetest", []string{"…"}, "it proves stores, for tests"},
	{"projections/projtest", []string{"…"}, "it proves read models on real servers, for tests"},
	{
		"projections/…",
		[]string{"domain/…", "projections/…"},
		"read models know the domain and each other, and no outside system",
	},
	{
		"consumers",
		[]string{"domain/…", "eventlog"},
		"consumers know the domain and the log's contract",
	},
	{
		"consumers/ledger",
		[]string{
			"domain/…", "consumers/…", "eventlog", "eventlog/checkpoint",
			"eventlog/deadletter",
		},
		"the ledger commits with positions of the log",
	},
	{
		"consumers/…",
		[]string{"domain/…", "consumers/…", "eventlog"},
		"consumers know the domain, each other and the log's contract, and never the projections",
	},
	{
		"realtime",
		[]string{"domain/…", "eventlog", "eventlog/cloudevents"},
		"the hub knows the log by its contract",
	},
	{"realtime/realtimetest/…", []string{"…"}, "it runs a hub, for tests"},
	{
		"realtime/…",
		[]string{"domain/…", "realtime/…"},
		"protocols know the hub, and nothing behind it",
	},
	{"migrations", nil, "migrations are SQL"},
	// Adapters implement interfaces of those who call them, and do not know each other. What is
	// here for an adapter is all that it may know.
	{"internal/auth", nil, "tokens are about no school's data"},
	{
		"internal/client",
		[]string{"domain", "eventlog/cloudevents"},
		"it is what a program elsewhere needs to publish",
	},
	{"internal/kafka", []string{"domain", "eventlog"}, "it is the log"},
	{"internal/postgres", []string{
		"domain", "eventlog", "eventlog/checkpoint",
		"eventlog/deadletter", "migrations",
		"projections",
	}, "it is the store of the engine"},
	{"internal/redis", []string{
		"domain", "internal/auth", "projections", "projections/cache",
		"realtime",
	}, "it is the cache, the bus, and had the revoked tokens of auth"},
	{"internal/audit", nil, "who reads what is recorded as texts"},
	{"internal/revocation", []string{"internal/auth"}, "it holds the revoked tokens of auth"},
	{
		"internal/httpapi",
		[]string{
			"domain", "domain/access", "domain/log", "eventlog", "eventlog/checkpoint",
			"eventlog/cloudevents", "eventlog/cloudevents/schema", "eventlog/deadletter", "ingest/…",
			"projections/cache",
			"projections/query", "consumers/…", "internal/audit", "internal/auth", "numbers",
		},
		"it serves what others declare, to callers that auth identifies",
	},
	{"internal/s3", nil, "it stores bytes"},
	{"internal/telemetry", nil, "everything may be observed, and nothing known"},
	{"internal/golden", nil, "it compares bytes, for tests"},
	{"internal/archtest/…", nil, "it reads source text, for tests"},
	{"internal/devstack", nil, "it runs servers, for serve and for tests"},
	{
		"internal/devstack/…",
		[]string{"internal/devstack/…", "internal/postgres"},
		"it gives tests migrated databases, logs and caches",
	},
	{
		"deploy/…",
		[]string{"internal/golden", "internal/devstack/devtest"},
		"files for operators, and tests of them with the tools that read them",
	},
	{"cmd/…", []string{"…"}, "only cmd knows everything"},
}

// coreTests lists packages whose tests import another core: they test the two together.
var coreTests = map[string][]string{
	"consumers/pdf":  {"projections"},
	"consumers/plan": {"projections"},
}

// onlyIn lists foreign packages that one package of ours alone may import.
var onlyIn = map[string][]string{
	"github.com/segmentio/kafka-go":              {"internal/kafka"},
	"github.com/redis/go-redis/v9":               {"internal/redis", "internal/devstack"},
	"github.com/twmb/franz-go/pkg/kfake":         {"internal/devstack"},
	"github.com/alicebob/miniredis/v2":           {"internal/devstack"},
	"github.com/fergusstrange/embedded-postgres": {"internal/devstack"},
	"github.com/pressly/goose/v3":                {"internal/postgres"},
	"github.com/riverqueue/river":                {"consumers/ledger", "internal/postgres"},
	"github.com/ThreeDotsLabs/watermill":         {"consumers/router"},
	"github.com/minio/minio-go/v7":               {"internal/s3"},
	"github.com/go-text/typesetting":             {"consumers/pdf/page"},
	"github.com/alecthomas/kong": {
		"cmd/schoolbell",
		"cmd/schoolbell/internal/config",
	},
}

type goPackage struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath+"/", module) }

func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list",
		"-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else {
			require.NoError(t, err)
		}
		packages = append(packages, p)
	}
}

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, p := range list(t) {
		name := strings.TrimSuffix(p.name(), "/")
		i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.packages, name) })
		if i < 0 {
			t.Errorf("%s: no layer says what it may import", name)
			continue
		}
		used[layers[i].packages] = true
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, module)
			if ok && !slices.ContainsFunc(layers[i].may, func(pattern string) bool {
				return matches(pattern, ours)
			}) {
				t.Errorf("%s imports %s: %s", name, ours, layers[i].why)
			}
		}
	}
	for _, l := range layers {
		if !used[l.packages] {
			t.Errorf("the layer of %s applies to no package: remove it", l.packages)
		}
	}
}

// The three cores know the domain and the log, and not each other; nor do their tests, but for a
// few that are about both.
func TestCoresStandSideBySide(t *testing.T) {
	t.Parallel()
	found := map[string][]string{}
	cores := []string{"projections", "consumers", "realtime"}
	for _, p := range list(t) {
		name := strings.TrimSuffix(p.name(), "/")
		core, _, _ := strings.Cut(name, "/")
		if !slices.Contains(cores, core) {
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			ours, ok := strings.CutPrefix(imported, module)
			other, _, _ := strings.Cut(ours, "/")
			if ok && other != core && slices.Contains(cores, other) {
				found[name] = append(found[name], other)
				if !slices.Contains(coreTests[name], other) {
					t.Errorf("%s imports %s: the cores do not know each other", name, ours)
				}
			}
		}
	}
	for name, others := range coreTests {
		for _, other := range others {
			if !slices.Contains(found[name], other) {
				t.Errorf("coreTests lists %s, whose tests no longer import %s: remove it", name,
					other)
			}
		}
	}
}

func TestDomainImportsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		if name := p.name(); !strings.HasPrefix(name, "domain/") {
			continue
		}
		for _, imported := range p.Imports {
			first, _, _ := strings.Cut(imported, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(imported, module+"domain") {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
			if slices.Contains([]string{
				"context", "os", "net", "net/http", "database/sql",
				"math/rand", "math/rand/v2",
			}, imported) {
				t.Errorf("%s imports %s: the domain does no I/O and rolls no dice", p.ImportPath,
					imported)
			}
		}
	}
}

func TestOutsideSystemsHaveOneAdapter(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, p := range list(t) {
		name := strings.TrimSuffix(p.name(), "/")
		for _, imported := range p.Imports {
			for foreign, owners := range onlyIn {
				if !matches(foreign+"/…", imported) {
					continue
				}
				used[foreign] = true
				if !slices.ContainsFunc(owners, func(o string) bool { return matches(o+"/…", name) }) {
					t.Errorf("%s imports %s, which is for %s", name, imported,
						strings.Join(owners, " and "))
				}
			}
		}
	}
	for foreign := range onlyIn {
		if !used[foreign] {
			t.Errorf("onlyIn lists %s, which no package imports: remove it", foreign)
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		switch name := filepath.Base(p.Dir); name {
		case "util", "utils", "common", "helper", "helpers", "misc", "base", "shared":
			t.Errorf("%s: %q says nothing about what is in it", p.ImportPath, name)
		}
	}
}

func TestEveryEventHasAGolden(t *testing.T) {
	t.Parallel()
	for _, f := range catalog.Facts() {
		context, fact, _ := f.Name()
		pattern := filepath.Join(root, "domain", context, "testdata",
			"*"+fact+"*"+f.Type[strings.LastIndexByte(f.Type, '.'):]+"*.json")
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		if len(found) == 0 {
			t.Errorf("%s has no golden in domain/%s/testdata", f.Type, context)
		}
	}
}

func TestEveryProjectionIsInTheCatalog(t *testing.T) {
	t.Parallel()
	packages := list(t)
	i := slices.IndexFunc(packages,
		func(p goPackage) bool { return p.ImportPath == module+"projections/catalog" })
	require.GreaterOrEqual(t, i, 0, "projections/catalog is missing")
	for _, p := range packages {
		// for tests only
		if path := p.ImportPath; strings.HasPrefix(path, module+"projections/") &&
			!strings.HasSuffix(path, "test") &&
			declaresProjection(t, p) && !slices.Contains(packages[i].Imports, path) {
			t.Errorf("%s declares a projection that projections/catalog does not list", path)
		}
	}
}

func declaresProjection(t *testing.T, p goPackage) bool {
	t.Helper()
	return slices.Contains(p.Imports, module+"projections") &&
		slices.ContainsFunc(p.GoFiles, func(file string) bool {
			b, err := os.ReadFile(filepath.Join(p.Dir, file))
			require.NoError(t, err)
			return bytes.Contains(b, []byte("= projections.New("))
		})
}

func TestFilesAreShortEnoughToRead(t *testing.T) {
	t.Parallel()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root &&
			(strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := 0
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			lines++
		}
		if lines > maxLines {
			t.Errorf("%s has %d lines; a file has one subject and at most %d lines", path, lines,
				maxLines)
		}
		return nil
	}))
}

// matches reports whether a package is one that the pattern means: itself, or with "/…" it and all
// below it.
func matches(pattern, name string) bool {
	if pattern == "…" {
		return true
	}
	parent, all := strings.CutSuffix(pattern, "/…")
	return name == parent || all && strings.HasPrefix(name, parent+"/")
}
