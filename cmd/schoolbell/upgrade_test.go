package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/deliveries"
)

// upgradeDir holds an installation of an earlier version; record.sh in it made it.
const upgradeDir = "testdata/upgrade"

// An installation of an earlier version is continued: its tables, tokens, settings and texts are as
// they were, nothing is sent again, and what comes next is sent once.
func TestAnEarlierInstallationContinues(t *testing.T) {
	t.Parallel()
	data, url := restoreInstallation(t)
	a := startApp(t, func(cfg *config.Config) {
		cfg.Data, cfg.Database.URL, cfg.JWT.Secret, cfg.Kafka.Partitions = data, url, "", 2
	})
	token := strings.TrimSpace(string(readFile(t, filepath.Join(upgradeDir, "token"))))
	const school = "/v1/schools/north/"
	var recorded []struct {
		Path string `json:"path"`
		Body any    `json:"body"`
	}
	require.NoError(t,
		json.Unmarshal(readFile(t, filepath.Join(upgradeDir, "responses.json")), &recorded))
	require.NotEmpty(t, recorded)
	for _, r := range recorded {
		requireAsBefore(t, r.Path, r.Body, get[any](t, a, token, school+r.Path))
	}
	before := get[deliveries.List](t, a, token, school+"deliveries").Deliveries

	a.token = token
	mark := marked("north", 1, "absent_unexcused")
	mark["id"], mark["time"] = "upgraded", time.Now().UTC().Format(time.RFC3339)
	mark["data"].(map[string]any)["date"] = domain.DateOf(time.Now()).String()
	a.publish(t, "north", mark)
	var after []deliveries.Delivery
	require.Eventually(t, func() bool {
		after = get[deliveries.List](t, a, token, school+"deliveries").Deliveries
		return slices.ContainsFunc(after, func(d deliveries.Delivery) bool {
			return d.Event == "upgraded" && d.Status == "sent"
		})
	}, time.Minute, 50*time.Millisecond)
	require.Len(t, after, len(before)+1, "events that were planned before are not planned again")
	outbox := get[struct {
		Messages []any `json:"messages"`
	}](t, a, token, school+"outbox")
	require.Len(t, outbox.Messages, 3, "two of before, and the new one")
}

// restoreInstallation returns the data directory and the database of the recorded installation.
func restoreInstallation(t *testing.T) (data, url string) {
	t.Helper()
	data, url = t.TempDir(), devtest.EmptyPostgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	sql, err := io.ReadAll(unzip(t, "database.sql.gz"))
	require.NoError(t, err)
	_, err = conn.PgConn().Exec(t.Context(), string(sql)).ReadAll()
	require.NoError(t, err)

	files := tar.NewReader(unzip(t, "kafka.tar.gz"))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		path := filepath.Join(data, filepath.Clean("/"+h.Name))
		if h.FileInfo().IsDir() {
			require.NoError(t, os.MkdirAll(path, 0o700))
			continue
		}
		b, err := io.ReadAll(files)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, b, 0o600))
	}
	for _, name := range []string{"jwt-secret", "link-key"} {
		b := readFile(t, filepath.Join(upgradeDir, name))
		require.NoError(t, os.WriteFile(filepath.Join(data, name), b, 0o600))
	}
	return data, url
}

func unzip(t *testing.T, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join(upgradeDir, name))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	return z
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// requireAsBefore checks that a response has all that it had before. Later versions may add to it.
func requireAsBefore(t *testing.T, at string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		require.True(t, ok, "%s is %v", at, got)
		for name, v := range want {
			switch name {
			case "ageing", "link": // change with the day, and with the address of the process
			default:
				requireAsBefore(t, at+"/"+name, v, object[name])
			}
		}
	case []any:
		list, ok := got.([]any)
		require.True(t, ok && len(list) == len(want), "%s is %v", at, got)
		for i, v := range want {
			requireAsBefore(t, fmt.Sprint(at, "/", i), v, list[i])
		}
	default:
		require.Equal(t, want, got, at)
	}
}
