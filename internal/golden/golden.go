// Package golden compares what tests produce with files that are kept in testdata, and renews the
// files on request. It is for tests only.
//
// One environment variable renews the goldens and scenarios of the whole program:
// SCHOOLBELL_GOLDEN=update, which `make golden` sets. It runs the tests that have Golden in their
// names and those called TestScenarios…, so a test that uses this package has such a name; the
// functions here fail otherwise. Look at the difference before you commit it.
//
// The goldens of events, domain/<context>/testdata, are not among them: they are written by hand,
// once, and never change after an event has been published.
package golden

import (
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
)

// Variable is the environment variable, and Renew its value that has every golden written instead
// of compared.
const (
	Variable = "SCHOOLBELL_GOLDEN"
	Renew    = "update"
)

// Updating reports whether goldens are written instead of compared.
func Updating() bool { return os.Getenv(Variable) == Renew }

// Check compares what a test has got with a file, or writes the file.
func Check(t testing.TB, file string, got []byte) {
	t.Helper()
	named(t)
	if Updating() {
		if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // goldens are source files
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read golden: %v; `make golden` writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Fatalf("%s differs (-file +now); `make golden` renews it:\n%s", file, diff)
	}
}

// Walk runs a test for each scenario of a folder: a text file of commands and what they print.
func Walk(t *testing.T, folder string, scenario func(t *testing.T, path string)) {
	t.Helper()
	named(t)
	datadriven.Walk(t, folder, scenario)
}

// Run runs one scenario, or writes what its commands print into its file.
func Run(t *testing.T, path string, command func(t *testing.T, d *datadriven.TestData) string) {
	t.Helper()
	named(t)
	if Updating() {
		rewrite(t)
	}
	datadriven.RunTest(t, path, command)
}

// rewrite sets the flag of package datadriven, which reads no variable.
func rewrite(t testing.TB) {
	once.Do(func() {
		if err := flag.Set("rewrite", "true"); err != nil {
			t.Fatal(err)
		}
	})
}

var once sync.Once

func named(t testing.TB) {
	t.Helper()
	if name := t.Name(); !strings.Contains(name, "Golden") &&
		!strings.HasPrefix(name, "TestScenarios") {
		t.Fatalf("%s compares with golden files: its name must hold Golden or begin with "+
			"TestScenarios, so that `make golden` runs it", name)
	}
}
