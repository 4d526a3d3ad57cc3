package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxColumns is how wide a line may be; a tab counts as four.
const maxColumns = 100

// spread says how lengths are distributed.
type spread struct {
	P50 int `json:"p50"`
	P90 int `json:"p90"`
	P99 int `json:"p99"`
	Max int `json:"max"`
}

// figures are the proportions of a tree. Shares and ratios of lines; lengths in lines.
type figures struct {
	Files        int     `json:"files"`
	Lines        int     `json:"lines"`
	CodeLines    int     `json:"code_lines"`
	Tokens       int     `json:"tokens"` // of code: they do not depend on where lines are broken
	CommentLines int     `json:"comment_lines"`
	CommentShare float64 `json:"comment_percent"`
	WideLines    int     `json:"wide_lines"`
	WideShare    float64 `json:"wide_percent"`
	TestLines    int     `json:"test_lines"`
	TestRatio    float64 `json:"test_ratio"`
	SupportRatio float64 `json:"test_ratio_with_support"`
	File         spread  `json:"file"`
	Function     spread  `json:"function"`
	Exported     int     `json:"exported"`
	Documented   float64 `json:"documented_percent"`
	Interfaces   int     `json:"interfaces"`
	Settings     int     `json:"settings"`
}

// tree collects what is counted while files are read.
type tree struct {
	files, functions              []int // lengths
	lines, code, tokens, comments int
	wide, tests, support          int
	exported, documented          int
	interfaces, settings          int
	fset                          *token.FileSet
}

// measure reads all Go files below dir but those of other modules, vendored ones and generated ones.
func measure(dir string) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skipped(dir, path, d.Name())
		case filepath.Ext(path) != ".go":
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return t.file(path, source)
	})
	return t, err
}

func skipped(root, path, name string) error {
	if path == root {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
		return fs.SkipDir // another module
	}
	if strings.HasPrefix(name, ".") || name == "testdata" || name == "vendor" || name == "node_modules" || name == "bin" {
		return fs.SkipDir
	}
	return nil
}

func (t *tree) file(path string, source []byte) error {
	parsed, err := parser.ParseFile(t.fset, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	lines := bytes.Count(source, []byte("\n"))
	switch {
	case ast.IsGenerated(parsed):
		return nil
	case strings.HasSuffix(path, "_test.go"):
		t.tests += lines
		return nil
	}
	if isSupport(path) {
		t.support += lines
	}
	t.files = append(t.files, lines)
	t.lines += lines
	t.countLines(source)
	t.countDeclarations(parsed)
	return nil
}

// isSupport reports whether a file is part of a suite or a fake server that only tests import.
func isSupport(path string) bool {
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Dir(path)), "/") {
		if part == "faulty" || strings.HasSuffix(part, "test") {
			return true
		}
	}
	return false
}

// countLines tells lines of code from lines with nothing but a comment. A line with both is code.
func (t *tree) countLines(source []byte) {
	for line := range bytes.Lines(source) {
		line = bytes.TrimRight(line, "\n")
		if utf8.RuneCount(line)+3*bytes.Count(line, []byte("\t")) > maxColumns {
			t.wide++
		}
	}
	file := token.NewFileSet()
	handle := file.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(handle, source, nil, scanner.ScanComments)
	code, comment := map[int]bool{}, map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			break
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		if tok != token.COMMENT && tok != token.COMMA { // a broken list ends in one more comma
			t.tokens++
		}
		first := handle.Line(pos)
		seen := code
		if tok == token.COMMENT {
			seen = comment
		}
		for i := range 1 + strings.Count(text, "\n") {
			seen[first+i] = true
		}
	}
	t.code += len(code)
	for line := range comment {
		if !code[line] {
			t.comments++
		}
	}
}

func (t *tree) countDeclarations(f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			t.functions = append(t.functions, t.fset.Position(d.End()).Line-t.fset.Position(d.Pos()).Line+1)
			if d.Name.IsExported() && exportedReceiver(d) {
				t.name(d.Doc)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				t.spec(d, s)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				if field.Tag != nil && strings.Contains(field.Tag.Value, `env:"`) {
					t.settings++
				}
			}
		}
		return true
	})
}

func (t *tree) spec(d *ast.GenDecl, s ast.Spec) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if i, ok := s.Type.(*ast.InterfaceType); ok && isBehaviour(i) {
			t.interfaces++
		}
		if s.Name.IsExported() {
			t.name(d.Doc, s.Doc, s.Comment)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				t.name(d.Doc, s.Doc, s.Comment)
			}
		}
	}
}

// isBehaviour tells an interface from a constraint of type parameters.
func isBehaviour(i *ast.InterfaceType) bool {
	return !slices.ContainsFunc(i.Methods.List, func(f *ast.Field) bool {
		switch f.Type.(type) {
		case *ast.BinaryExpr, *ast.UnaryExpr:
			return true
		}
		return false
	})
}

// name counts an exported name, and whether one of its comments says anything.
func (t *tree) name(docs ...*ast.CommentGroup) {
	t.exported++
	if slices.ContainsFunc(docs, func(c *ast.CommentGroup) bool { return c != nil }) {
		t.documented++
	}
}

// exportedReceiver reports whether a function is none of an unexported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	x := d.Recv.List[0].Type
	for {
		switch e := x.(type) {
		case *ast.StarExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.IndexListExpr:
			x = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return false
		}
	}
}

func (t *tree) figures() figures {
	return figures{
		Files: len(t.files), Lines: t.lines, CodeLines: t.code, Tokens: t.tokens,
		CommentLines: t.comments, CommentShare: percent(t.comments, t.lines),
		WideLines: t.wide, WideShare: percent(t.wide, t.lines),
		TestLines: t.tests, TestRatio: ratio(t.tests, t.lines),
		SupportRatio: ratio(t.tests+t.support, t.lines-t.support),
		File:         distribution(t.files), Function: distribution(t.functions),
		Exported: t.exported, Documented: percent(t.documented, t.exported),
		Interfaces: t.interfaces, Settings: t.settings,
	}
}

func ratio(part, whole int) float64 { return float64(part) / float64(max(whole, 1)) }

func percent(part, whole int) float64 { return 100 * ratio(part, whole) }

func distribution(lengths []int) spread {
	if len(lengths) == 0 {
		return spread{}
	}
	slices.Sort(lengths)
	at := func(share int) int { return lengths[(len(lengths)-1)*share/100] }
	return spread{P50: at(50), P90: at(90), P99: at(99), Max: lengths[len(lengths)-1]}
}
