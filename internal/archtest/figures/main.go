// Command figures prints the proportions of a Go source tree: how long its files and functions are, how much of it is
// documented, commented and tested, and how many interfaces and settings it has. Generated files are left out.
//
//	go run ./internal/archtest/figures            this tree
//	go run ./internal/archtest/figures DIR DIR    two trees side by side, for example before and after a change
//
// A folder whose name ends in "test", and one called "faulty", holds suites and fake servers that only tests use. They
// count as code in the proportions, and as tests in the second ratio of tests to code.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
)

func main() {
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	if err := run(os.Stdout, flag.Args(), *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, dirs []string, asJSON bool) error {
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	trees := make([]figures, len(dirs))
	for i, dir := range dirs {
		t, err := measure(dir)
		if err != nil {
			return fmt.Errorf("measure %s: %w", dir, err)
		}
		trees[i] = t.figures()
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(trees)
	}
	return table(out, dirs, trees)
}

// table prints a row for each figure and a column for each tree.
func table(out io.Writer, dirs []string, trees []figures) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(name string, cell func(figures) string) {
		fmt.Fprint(w, name)
		for _, t := range trees {
			fmt.Fprint(w, "\t", cell(t))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "tree")
	for _, dir := range dirs {
		fmt.Fprint(w, "\t", dir)
	}
	fmt.Fprintln(w)
	row("files", func(f figures) string { return strconv.Itoa(f.Files) })
	row("lines, without tests", func(f figures) string { return strconv.Itoa(f.Lines) })
	row("  of code", func(f figures) string { return strconv.Itoa(f.CodeLines) })
	row("  tokens of code", func(f figures) string { return strconv.Itoa(f.Tokens) })
	row("  of comments", func(f figures) string { return fmt.Sprintf("%d (%.1f %%)", f.CommentLines, f.CommentShare) })
	row("  over 100 columns", func(f figures) string { return fmt.Sprintf("%d (%.1f %%)", f.WideLines, f.WideShare) })
	row("lines of tests", func(f figures) string { return strconv.Itoa(f.TestLines) })
	row("tests / code", func(f figures) string { return fmt.Sprintf("%.2f", f.TestRatio) })
	row("  with suites and fakes", func(f figures) string { return fmt.Sprintf("%.2f", f.SupportRatio) })
	row("file p50 / p90 / max", func(f figures) string {
		return fmt.Sprintf("%d / %d / %d", f.File.P50, f.File.P90, f.File.Max)
	})
	row("function p50 / p90 / p99 / max", func(f figures) string {
		return fmt.Sprintf("%d / %d / %d / %d", f.Function.P50, f.Function.P90, f.Function.P99, f.Function.Max)
	})
	row("exported names", func(f figures) string { return strconv.Itoa(f.Exported) })
	row("  with a doc comment", func(f figures) string { return fmt.Sprintf("%.1f %%", f.Documented) })
	row("interfaces", func(f figures) string { return strconv.Itoa(f.Interfaces) })
	row("settings", func(f figures) string { return strconv.Itoa(f.Settings) })
	return w.Flush()
}
