//go:build !noembed

package devstack

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const fetchedVersion = embeddedpostgres.V17

// fetchPostgres downloads the programs from Maven Central into the user's cache, once. The module
// can only download as part of a start; it is given a directory that is no cluster, so that it
// stops after unpacking.
func fetchPostgres(ctx context.Context) (programs, error) {
	cache, err := os.UserCacheDir()
	if err != nil || os.Geteuid() == 0 {
		cache = "/var/cache" // root's own is closed to the account that PostgreSQL runs as
	}
	cache = filepath.Join(cache, "schoolbell", "postgresql-"+string(fetchedVersion))
	bin := filepath.Join(cache, "bin")
	if p, err := programsIn(ctx, bin); err == nil {
		return p, nil
	}
	notCluster, err := os.MkdirTemp("", "schoolbell-fetch-")
	if err != nil {
		return programs{}, err
	}
	defer os.RemoveAll(notCluster)
	major, _, _ := strings.Cut(string(fetchedVersion), ".")
	if err := os.WriteFile(filepath.Join(notCluster, "PG_VERSION"), []byte(major+"\n"), 0o600); err != nil {
		return programs{}, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return programs{}, err
	}
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(fetchedVersion).
		Port(uint32(port)).
		CachePath(filepath.Dir(cache)).
		BinariesPath(cache).
		RuntimePath(filepath.Join(notCluster, "runtime")).
		DataPath(notCluster).
		Logger(io.Discard))
	startErr := server.Start()
	p, err := programsIn(ctx, bin)
	if err != nil {
		return p, errors.Join(startErr, err)
	}
	return p, nil
}
