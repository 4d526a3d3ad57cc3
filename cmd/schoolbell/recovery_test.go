package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// replaceDatabase stops the program, and starts it on another database.
func (f *fatedLog) replaceDatabase(t *testing.T, url string) {
	t.Helper()
	f.stop()
	f.cfg.Database.URL = url
	f.start(t)
}

// dump returns a copy of the database as it is now.
func (f *fatedLog) dump(t *testing.T) (url string) {
	t.Helper()
	f.exchange(t, func(string) { url = devtest.Copy(t, f.cfg.Database.URL) })
	return url
}

// A database comes back that is older than the log, from before or after some texts, and one that is
// empty. What was sent is not sent again, and what follows is.
func TestP12_AnOldOrLostDatabaseTextsNobodyAgain(t *testing.T) {
	t.Parallel()
	f := newFatedLog(t)
	early, _ := f.absentFrom(t, 1)
	f.requireText(t, early)
	dump := f.dump(t)
	var numbers []string
	for n := 2; n < 12; n++ {
		number, _ := f.absentFrom(t, n)
		numbers = append(numbers, number)
	}
	for _, number := range numbers {
		f.requireText(t, number)
	}
	f.requireSettled(t)

	for n, url := range []string{dump, devtest.EmptyPostgres(t)} {
		f.replaceDatabase(t, url)
		commitToDisk(t, url)
		// The next absence is planned after all that the log had before.
		next, last := f.absentFrom(t, 20+n)
		f.requireText(t, next)
		f.requireTablesOfLog(t, last)
		f.requireSettled(t)
		for _, number := range append(numbers, early, next) {
			require.Equal(t, 1, f.texts.to(number), "%s is texted once", number)
		}
		code, out, stderr := command(t, "jobs", "verify", "--data", f.cfg.Data)
		require.Equal(t, exitDone, code, out+stderr)
		numbers = append(numbers, next)
	}
	code, out, stderr := command(t, "doctor", "--json", "--data", f.cfg.Data)
	require.Empty(t, stderr)
	require.Equal(t, exitDone, code, out)
}

// commitToDisk sets what the server of the tests leaves out, and the doctor finds.
func commitToDisk(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `DO $$ BEGIN EXECUTE format(
		'ALTER DATABASE %I SET synchronous_commit = on', current_database()); END $$`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// requireSettled waits until every text of the ledger was sent and is in the log.
func (f *fatedLog) requireSettled(t *testing.T) {
	t.Helper()
	l, err := ledger.New(ledger.Config{Pool: devtest.Pool(t, f.cfg.Database.URL, postgres.Jobs).Conns()})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		n, err := l.Unsettled(t.Context())
		return err == nil && n == 0
	}, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return f.await(t).Status == "ready" }, 30*time.Second,
		50*time.Millisecond)
}

// The document's commands, as they stand there, bring a database back where it was dumped.
func TestTheDrillOfTheDocument(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "pg_dump", "pg_restore")
	text, err := os.ReadFile("../../docs/RECOVERY.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 2, "what restores, and what compares")
	f := newFatedLog(t)
	first, last := f.absentFrom(t, 1)
	f.requireText(t, first)
	f.requireTablesOfLog(t, last)
	restored := devtest.EmptyPostgres(t)
	commitToDisk(t, restored)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(os.Args[0], filepath.Join(bin, "schoolbell")))
	drill := func(commands string) {
		cmd := exec.Command("sh", "-euxc", commands)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), asProgram+"=1", "PATH="+bin+":"+os.Getenv("PATH"),
			"DATABASE_URL="+f.cfg.Database.URL, "RESTORED_URL="+restored, "SCHOOLBELL_DATA="+f.cfg.Data)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	drill(blocks[0][1])
	f.replaceDatabase(t, restored)
	second, last := f.absentFrom(t, 2)
	f.requireText(t, second)
	f.requireTablesOfLog(t, last)
	f.requireSettled(t)
	drill(blocks[1][1])
	require.Equal(t, 1, f.texts.to(first), "it is texted once")
}

func TestTheDoctorSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	f := newFatedLog(t)
	_, last := f.absentFrom(t, 1)
	f.requireTablesOfLog(t, last)
	backup := f.backup(t)
	_, last = f.absentFrom(t, 2)
	f.requireTablesOfLog(t, last)
	f.restore(t, backup)
	f.requireRefused(t, "oak", "cut")
	code, out, _ := command(t, "doctor", "--json", "--data", f.cfg.Data)
	require.Equal(t, exitFailed, code)
	var found []finding
	require.NoError(t, json.Unmarshal([]byte(out), &found), out)
	require.Equal(t, severe, found[0].Severity, fmt.Sprint(found))
	require.Equal(t, "log", found[0].Subject)
	require.Contains(t, found[0].Problem, "is refused")
	code, out, _ = command(t, "migrate", "--check", "--database-url", f.Database)
	require.Equal(t, exitDone, code, out)
}
