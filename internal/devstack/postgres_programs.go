package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// programs are the two of PostgreSQL's programs that running a server takes.
type programs struct {
	postgres, initdb string
	major            int
}

// commonDirs are where packages for Debian, Red Hat, Alpine, Homebrew, MacPorts and Postgres.app
// put the programs. On Debian they are not under PATH.
var commonDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	"/opt/local/lib/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// oldestMajor is the oldest version that the migrations are tested with.
const oldestMajor = 14

// findPostgres returns the newest programs on this machine, or of the version that the data was
// made by. When there are none they are downloaded.
func findPostgres(ctx context.Context, data string) (programs, error) {
	want, err := dataMajor(data)
	if err != nil {
		return programs{}, err
	}
	var best programs
	for _, dir := range candidateDirs() {
		p, err := programsIn(ctx, dir)
		if err != nil || p.major < oldestMajor || want != 0 && p.major != want {
			continue
		}
		if p.major > best.major {
			best = p
		}
	}
	if best.major != 0 {
		return best, nil
	}
	p, err := fetchPostgres(ctx)
	if err != nil {
		return programs{}, fmt.Errorf(
			"no PostgreSQL %d or later is installed and none could be downloaded (install it, or "+
				"set SCHOOLBELL_DATABASE_URL to a server): %w",
			oldestMajor,
			err,
		)
	}
	if want != 0 && p.major != want {
		return programs{}, fmt.Errorf(
			"data in %s is of PostgreSQL %d, which is not installed (found %d)", data, want,
			p.major,
		)
	}
	return p, nil
}

func candidateDirs() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// Links are followed because initdb looks for its share directory next to itself.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, pattern := range commonDirs {
		found, _ := filepath.Glob(pattern) // the only error is a malformed pattern
		dirs = append(dirs, found...)
	}
	return dirs
}

var versionOutput = regexp.MustCompile(`PostgreSQL\) (\d+)`)

func programsIn(ctx context.Context, dir string) (programs, error) {
	p := programs{postgres: filepath.Join(dir, "postgres"), initdb: filepath.Join(dir, "initdb")}
	if _, err := os.Stat(p.initdb); err != nil {
		return p, err
	}
	out, err := exec.CommandContext(ctx, p.postgres, "--version").Output()
	if err != nil {
		return p, fmt.Errorf("read the version of %s: %w", p.postgres, err)
	}
	m := versionOutput.FindSubmatch(out)
	if m == nil {
		return p, fmt.Errorf("version of %s: %q", p.postgres, out)
	}
	p.major, err = strconv.Atoi(string(m[1]))
	return p, err
}

// dataMajor returns the version that a data directory was made by, 0 when it is empty.
func dataMajor(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read version of the data in %s: %w", data, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, nil //nolint:nilerr // incomplete; it will be created again
	}
	return major, nil
}

// dataArgs are the arguments that give a program of PostgreSQL its data directory.
func dataArgs(data, passwordFile string) []string {
	args := []string{"-D", data}
	if passwordFile != "" {
		args = append(args, "--pwfile="+passwordFile)
	}
	return args
}
