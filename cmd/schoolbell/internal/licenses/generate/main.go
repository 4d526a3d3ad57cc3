// Command generate writes the licences of all modules in the binary to notices.txt. It must be run in
// the repository, with the modules downloaded, since it reads the files that they ship.
package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// legal matches the files that licences require to be passed on.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright)([._-].*)?$`)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: generate PACKAGE FILE")
		os.Exit(2)
	}
	if err := generate(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context, pkg, file string) error {
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`
	out, err := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-f", format, pkg).Output()
	if err != nil {
		return fmt.Errorf("list modules: %w", err)
	}
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(modules)
	modules = slices.DeleteFunc(slices.Compact(modules), func(m string) bool { return m == "" })

	var list bytes.Buffer
	users := map[string][]string{} // modules by text
	for _, m := range modules {
		part := strings.SplitN(m, " ", 3)
		fmt.Fprintf(&list, "%s %s\n", part[0], part[1])
		texts, err := legalTexts(part[2])
		if err != nil {
			return err
		}
		if len(texts) == 0 {
			return fmt.Errorf("module %s ships no licence: look for it and decide", part[0])
		}
		for _, text := range texts {
			users[text] = append(users[text], part[0])
		}
	}
	// The standard library is a part of the binary too.
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find Go: %w", err)
	}
	texts, err := legalTexts(strings.TrimSpace(string(root)))
	if err != nil {
		return err
	}
	for _, text := range texts {
		users[text] = append(users[text], "Go standard library")
	}

	fmt.Fprintf(&list, "\n")
	byModule := slices.SortedFunc(maps.Keys(users), func(a, b string) int {
		return strings.Compare(users[a][0]+a, users[b][0]+b)
	})
	for _, text := range byModule {
		fmt.Fprintf(&list, "%s\n%s\n\n%s\n\n", strings.Repeat("=", 80),
			strings.Join(users[text], "\n"), text)
	}
	return os.WriteFile(file, list.Bytes(), 0o644) //nolint:gosec // a text for everyone
}

// legalTexts reads the licence files in the root of a module.
func legalTexts(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	var texts []string
	for _, e := range entries {
		if e.IsDir() || !legal.MatchString(e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read licence: %w", err)
		}
		lines := strings.Split(strings.ReplaceAll(string(b), "\r", ""), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " \t\f")
		}
		texts = append(texts, strings.Trim(strings.Join(lines, "\n"), "\n"))
	}
	return texts, nil
}
