package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/ingest/imports"
)

// TestP3_AnImportIsFinishedAfterAKill kills serve, with all its embedded servers, while it applies
// an import: two batches are in the log, and it knows of one. Once it is started again, an office
// sees where the import stands and finishes it. Nothing counts twice, and the directory is the
// package.
func TestP3_AnImportIsFinishedAfterAKill(t *testing.T) {
	t.Parallel()
	const students, batch = 3500, 1000
	dir := filepath.Join(t.TempDir(), "data")
	serve, a := startProcess(t, dir)
	rows := []string{`{"source": "sis", "complete": ["student"]}`}
	for i := range students {
		rows = append(rows, fmt.Sprintf(`{"kind": "student", "data": {"student_id": "s%d", "given_name": `+
			`"Ana", "family_name": "Ruiz", "class_id": "7a", "on": "2026-09-01"}}`, i))
	}
	file := filepath.Join(t.TempDir(), "north.ndjson")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(rows, "\n")), 0o600))
	code, out, errs := command(t, "import", "package", "north", file, "--dry-run", "--json", "--data", dir)
	require.Equal(t, exitDone, code, errs)
	var planned imported
	require.NoError(t, json.Unmarshal([]byte(out), &planned))
	id := planned.Plans["north"].ID
	hold := holdProgress(t, a.Database, 2*batch)
	apply, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		a.HTTP+importOf("north", id)+"/apply", strings.NewReader("{}"))
	require.NoError(t, err)
	apply.Header.Set("Authorization", "Bearer "+a.token)
	apply.Header.Set("Content-Type", "application/json")
	failed := make(chan error, 1)
	go func() {
		response, err := new(http.Client).Do(apply)
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	require.Eventually(t, func() (waits bool) {
		require.NoError(t, hold.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks
			WHERE locktype = 'advisory' AND objid = 7 AND NOT granted)`).Scan(&waits))
		return waits
	}, time.Minute, 5*time.Millisecond)
	require.NoError(t, serve.Process.Kill())
	_ = serve.Wait()
	_ = hold.Close(t.Context()) // the server is going down
	require.Error(t, <-failed)

	_, a = startProcess(t, dir)
	code, out, errs = command(t, "import", "list", "north", "--state=applying", "--json", "--data", dir)
	require.Equal(t, exitDone, code, errs)
	var list importList
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list.Imports, 1)
	require.Equal(t, id, list.Imports[0].ID)
	require.EqualValues(t, batch, list.Imports[0].Written)
	code, out, errs = command(t, "import", "apply", "north", id, "--data", dir)
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, fmt.Sprintf("The import is applied: %d of %d events are in the log.\n", students,
		students), out)

	inLog, last := a.readStudents(t, "north")
	require.Len(t, inLog, students+1, "the students, and that the import is applied")
	require.Equal(t, students, a.enrolledNow(t, "north", last))
	code, out, errs = command(t, "import", "package", "north", file, "--json", "--data", dir)
	require.Equal(t, exitDone, code, errs)
	var again imported
	require.NoError(t, json.Unmarshal([]byte(out), &again))
	require.Equal(t, &imports.Counts{Unchanged: students, Held: students},
		again.Plans["north"].Rows[imports.KindStudent])
}

// enrolledNow is the school's headcount.
func (a *app) enrolledNow(t *testing.T, school, at string) int {
	t.Helper()
	var overview struct {
		Students struct {
			Enrolled int `json:"enrolled"`
		} `json:"students"`
	}
	a.get(t, "/v1/schools/"+school+"/analytics/overview", at, &overview)
	return overview.Students.Enrolled
}

// holdProgress makes whatever stores that an import has come to some number of events wait for as
// long as the connection that it returns.
func holdProgress(t *testing.T, database string, written int) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), fmt.Sprintf(`SELECT pg_advisory_lock(7);
		CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END';
		CREATE TRIGGER hold BEFORE UPDATE ON schoolbell.imports FOR EACH ROW
			WHEN (NEW.written = %d) EXECUTE FUNCTION public.hold()`, written))
	require.NoError(t, err)
	return conn
}
