// Command sizes prints the modules of a binary with the size of their code, the largest first. In the
// file, types and the tables for stack traces add roughly as much again. It reads the symbol table, so
// the binary must not be stripped; `make sizes` builds one.
package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: sizes BINARY")
	}
	symbols, err := exec.CommandContext(ctx, "go", "tool", "nm", "-size", args[0]).Output()
	if err != nil {
		return fmt.Errorf("read symbols: %w", err)
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("read modules: %w", err)
	}
	modules := []string{info.Main.Path}
	for _, m := range info.Deps {
		modules = append(modules, m.Path)
	}
	sizes, err := byModule(symbols, modules)
	if err != nil {
		return err
	}
	var total int64
	for _, n := range sizes {
		total += n
	}
	largest := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return int(sizes[b] - sizes[a])
	})
	for _, module := range largest {
		fmt.Printf("%8.1f kB %5.1f %%  %s\n", float64(sizes[module])/1000,
			100*float64(sizes[module])/float64(total), module)
	}
	fmt.Printf("%8.1f kB          total code\n", float64(total)/1000)
	return nil
}

// byModule sums the sizes of functions. A symbol belongs to the module whose path is in its name.
func byModule(symbols []byte, modules []string) (map[string]int64, error) {
	sizes := map[string]int64{}
	lines := bufio.NewScanner(bytes.NewReader(symbols))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text()) // address, size, kind, name
		if len(fields) < 4 || !strings.EqualFold(fields[2], "t") {
			continue // data: mostly the linker's tables, which name no module
		}
		size, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read size of %s: %w", fields[3], err)
		}
		sizes[moduleOf(strings.ReplaceAll(fields[3], "%2e", "."), modules)] += size
	}
	return sizes, lines.Err()
}

// moduleOf takes the leftmost path in a name, and of nested modules the longest.
func moduleOf(symbol string, modules []string) string {
	at, module := len(symbol), "(standard library)"
	for _, m := range modules {
		i := strings.Index(symbol, m)
		if i >= 0 && (i < at || i == at && len(m) > len(module)) {
			at, module = i, m
		}
	}
	return module
}
