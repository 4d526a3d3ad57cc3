package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// riverSchema is where River stores its jobs. Its tables are not ours, but only the ledger, which
// runs the jobs, and the package that runs River's migrations may touch them.
const riverSchema = "schoolbell_river"

var riverOwners = []string{"consumers/ledger", "internal/postgres"}

// sqlViolations lists the tables that packages read or write without owning them. It is empty, and
// there has been no reason yet that it should not be. An entry that no longer applies fails the test.
var sqlViolations = map[string][]string{}

// relation is a table or view that a migration creates.
type relation struct {
	owner string // the package named in the migration's first line
	view  bool
}

var (
	ownerLine = regexp.MustCompile(`\A-- owner: (\S+)\n`)
	created   = regexp.MustCompile(`CREATE (TABLE|VIEW) schoolbell\.(\w+)([^;]*)`)
	invoker   = regexp.MustCompile(`(?i)WITH \(security_invoker = true\)`)
	cte       = regexp.MustCompile(`(\w+)(?: \([\w, ]+\))? AS (?:NOT )?(?:MATERIALIZED )?\(`)
	sqlToken  = regexp.MustCompile(`--[^\n]*|'[^']*'|"\w+"|\w+|\S`)
)

// relations reads the migrations. Each names its owner, and creates what belongs to that package.
func relations(t *testing.T) (all map[string]relation, files map[string]string) {
	t.Helper()
	all, files = map[string]relation{}, map[string]string{}
	paths, err := filepath.Glob(filepath.Join(root, "migrations", "*.sql"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		owner := ownerLine.FindSubmatch(text)
		require.NotNil(t, owner, "%s must begin with a line such as: -- owner: projections/fees",
			path)
		files[string(text)] = string(owner[1])
		for _, m := range created.FindAllSubmatch(text, -1) {
			r := relation{owner: string(owner[1]), view: string(m[1]) == "VIEW"}
			require.True(t, !r.view || invoker.Match(m[3]),
				"%s: view %s needs WITH (security_invoker = true): without it readers bypass row "+
					"security", path, m[2])
			all[string(m[2])] = r
		}
	}
	return all, files
}

// A table has one owner, the package that its migration names. Others call functions which that
// package exports over pgx.Tx, or join a view that its migration creates for them.
func TestSQLStaysWithTheOwnerOfItsTables(t *testing.T) {
	t.Parallel()
	all, files := relations(t)
	found := map[string]map[string]bool{} // by package, the tables of others in its SQL
	note := func(name, table string) {
		if found[name] == nil {
			found[name] = map[string]bool{}
		}
		found[name][table] = true
	}
	foreign := func(name, table string) bool {
		r, ours := all[table]
		return ours && !r.view && r.owner != name
	}
	for text, owner := range files {
		for _, table := range tablesIn(text, all) {
			if foreign(owner, table) {
				note(owner, table)
			}
		}
	}
	packages := list(t)
	for _, owner := range files {
		require.True(t, slices.ContainsFunc(packages, func(p goPackage) bool {
			return p.ImportPath == module+owner
		}), "a migration names the owner %s, which is no package", owner)
	}
	for _, p := range packages {
		name := strings.TrimSuffix(p.name(), "/")
		if strings.HasSuffix(name, "test") { // for tests only
			continue
		}
		for _, file := range p.GoFiles {
			for _, text := range literals(t, filepath.Join(p.Dir, file)) {
				for _, table := range tablesIn(text, all) {
					if foreign(name, table) || table == riverSchema &&
						!slices.Contains(riverOwners, name) {
						note(name, table)
					}
				}
			}
		}
	}
	for name, tables := range found {
		for _, table := range slices.Sorted(maps.Keys(tables)) {
			if !slices.Contains(sqlViolations[name], table) {
				owner := all[table].owner
				if table == riverSchema {
					owner = riverOwners[0]
				}
				t.Errorf("%s has SQL on %s, which belongs to %s: call a function of that "+
					"package, or a view of its migration",
					name, table, owner)
			}
		}
	}
	for name, tables := range sqlViolations {
		for _, table := range tables {
			if !found[name][table] {
				t.Errorf("sqlViolations lists %s for %s, which no longer has SQL on it: remove "+
					"the entry", table, name)
			}
		}
	}
}

// literals returns the strings of a file. What is concatenated is one string, in which anything but
// a literal is a space; so is a pgx.Identifier, written as SQL would.
func literals(t *testing.T, path string) (texts []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.CallExpr: // a read model declares its tables in Go
			if name := calledName(n.Fun); (name == "NewTable" || name == "NewAppendTable") &&
				len(n.Args) == 1 {
				texts = append(texts, "TABLE "+flatten(n.Args[0]))
			}
		case *ast.CompositeLit:
			if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Identifier" &&
				len(n.Elts) > 0 {
				texts = append(texts, "TABLE "+flatten(n.Elts[len(n.Elts)-1]))
			}
		case *ast.BinaryExpr, *ast.BasicLit:
			texts = append(texts, flatten(n.(ast.Expr)))
			return false
		}
		return true
	})
	return texts
}

func calledName(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.IndexListExpr:
		return calledName(f.X)
	case *ast.IndexExpr:
		return calledName(f.X)
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

func flatten(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value) // the parser has accepted it
			return text
		}
	case *ast.BinaryExpr:
		return flatten(e.X) + flatten(e.Y)
	case *ast.ParenExpr:
		return flatten(e.X)
	}
	return " "
}

// tablesIn finds the tables that a text of SQL reads or writes: names after the keywords, which are
// in capitals here as everywhere in this code, and lists of them.
func tablesIn(text string, all map[string]relation) (tables []string) {
	ctes := map[string]bool{}
	for _, m := range cte.FindAllStringSubmatch(text, -1) {
		ctes[m[1]] = true
	}
	tokens := slices.DeleteFunc(sqlToken.FindAllString(text, -1), func(s string) bool {
		return strings.HasPrefix(s, "--") || strings.HasPrefix(s, "'")
	})
	at := func(i int) string {
		if i < len(tokens) {
			return strings.Trim(tokens[i], `"`)
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		switch tokens[i] {
		case "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "TRUNCATE", "COPY", "USING", "ON":
		default:
			continue
		}
		for more := true; more; {
			more = false
			i++
			for slices.Contains([]string{"ONLY", "LATERAL", "IF", "NOT", "EXISTS", "TABLE"},
				at(i)) {
				i++
			}
			name := at(i)
			if at(i+1) == "." {
				if name == riverSchema {
					tables = append(tables, riverSchema)
				}
				i += 2
				name = at(i)
			}
			if _, ok := all[name]; !ok || ctes[name] || at(i+1) == "." {
				i--
				break
			}
			tables = append(tables, name)
			next := i + 1
			if at(next) == "AS" {
				next++
			}
			if at(next) != "," && at(next+1) == "," { // an alias
				next++
			}
			if at(next) == "," {
				i, more = next, true
			}
		}
	}
	return tables
}
