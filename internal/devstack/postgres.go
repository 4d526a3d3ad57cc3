package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresConfig configures a PostgreSQL server.
type PostgresConfig struct {
	// Dir holds the data, the password and the server's log. It is made if it does not exist, and
	// its data is used again if it does.
	Dir string
	// Database is made if it does not exist. Empty means "schoolbell".
	Database string
	// Settings are server settings, over those for a small machine.
	Settings map[string]string
	// Unsafe gives up durability for speed. It is for tests, whose data is disposable.
	Unsafe bool
}

// Postgres is a running server.
type Postgres struct {
	url     string
	process *os.Process
	logFile string
	ended   chan struct{} // closed when the process has ended
	endErr  error         // why; read after ended is closed

	stop    sync.Once
	stopErr error
}

const (
	postgresUser    = "schoolbell"
	postgresStart   = time.Minute // crash recovery of much data takes its time
	postgresRetries = 3           // another program may take the free port before PostgreSQL does
)

// smallMachine are the settings that differ from PostgreSQL's own. There are no replicas, so the
// log holds no more than recovery needs.
var smallMachine = map[string]string{
	"listen_addresses":             "127.0.0.1",
	"unix_socket_directories":      "",
	"max_connections":              "100",
	"shared_buffers":               "128MB",
	"effective_cache_size":         "1GB",
	"maintenance_work_mem":         "64MB",
	"random_page_cost":             "1.1",
	"jit":                          "off",
	"wal_level":                    "minimal",
	"max_wal_senders":              "0",
	"max_wal_size":                 "2GB",
	"checkpoint_timeout":           "15min",
	"checkpoint_completion_target": "0.9",
	"timezone":                     "UTC",
	"log_timezone":                 "UTC",
	"log_line_prefix":              "%m [%p] ",
}

var noDurability = map[string]string{
	"fsync":              "off",
	"full_page_writes":   "off",
	"synchronous_commit": "off",
	"autovacuum":         "off",
	"max_connections":    "200",
}

// StartPostgres starts a server on a free port of the loopback interface and returns when it is
// ready.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	if cfg.Database == "" {
		cfg.Database = "schoolbell"
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find directory of PostgreSQL: %w", err)
	}
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := makePrivateDir(data, account); err != nil {
		return nil, fmt.Errorf("make directory of PostgreSQL: %w", err)
	}
	programs, err := findPostgres(ctx, data)
	if err != nil {
		return nil, err
	}
	if err := endOrphan(ctx, data); err != nil {
		return nil, err
	}
	password, err := storedPassword(filepath.Join(dir, "password"), account)
	if err != nil {
		return nil, err
	}
	if err := initData(ctx, programs, dir, account, cfg.Unsafe); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		p, err := launch(ctx, cfg, programs, dir, account, password)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, errPortTaken) || attempt == postgresRetries {
			return nil, err
		}
	}
}

// URL is the address of the database, with user and password.
func (p *Postgres) URL() string { return p.url }

// Done is closed when the server has ended, for whatever reason.
func (p *Postgres) Done() <-chan struct{} { return p.ended }

// PostgresStop is how long a server is given to stop by default.
const PostgresStop = 20 * time.Second

// Stop is StopWithin, in no hurry.
func (p *Postgres) Stop() error { return p.StopWithin(PostgresStop) }

// StopWithin ends the server in the fast way: open transactions are rolled back and everything is
// written to disk. One that needs longer is ended at once; what was committed is then recovered at
// the next start. Stopping it again returns the same.
func (p *Postgres) StopWithin(limit time.Duration) error {
	p.stop.Do(func() {
		select {
		case <-p.ended:
			p.stopErr = fmt.Errorf("PostgreSQL had ended by itself: %w\n%s", p.endErr,
				tailOf(p.logFile))
			return
		default:
		}
		_ = p.process.Signal(syscall.SIGINT) // fast shutdown; an error means that it has just ended
		select {
		case <-p.ended:
			return
		case <-time.After(limit):
		}
		_ = p.process.Signal(syscall.SIGQUIT) // immediate: recovery does the rest at the next start
		<-p.ended
		p.stopErr = fmt.Errorf("PostgreSQL did not stop within %v and was ended at once",
			limit.Round(time.Millisecond))
	})
	return p.stopErr
}

var errPortTaken = errors.New("port is taken")

func launch(
	ctx context.Context, cfg PostgresConfig, programs programs, dir string, account *account,
	password string,
) (*Postgres, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	logFile := filepath.Join(dir, "log")
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of PostgreSQL: %w", err)
	}
	defer log.Close()

	cmd := exec.CommandContext(
		context.WithoutCancel(ctx), programs.postgres, "-p", strconv.Itoa(port),
	) // Stop ends it
	for _, settings := range []map[string]string{smallMachine, unsafeSettings(cfg.Unsafe), cfg.Settings} {
		for name, value := range settings {
			cmd.Args = append(cmd.Args, "-c", name+"="+value)
		}
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = serverEnv()
	closeDir, err := account.confine(cmd, filepath.Join(dir, "data"), "")
	if err != nil {
		return nil, err
	}
	defer closeDir()

	p := &Postgres{ended: make(chan struct{}), logFile: logFile}
	started := make(chan error)
	go p.supervise(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	p.process = cmd.Process

	address := func(database string) string {
		return (&url.URL{
			Scheme:   "postgres",
			User:     url.UserPassword(postgresUser, password),
			Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			Path:     "/" + database,
			RawQuery: "sslmode=disable",
		}).String()
	}
	p.url = address(cfg.Database)
	if err := p.prepare(ctx, address("postgres"), cfg.Database); err != nil {
		stopErr := p.Stop()
		if text := tailOf(logFile); strings.Contains(text, "could not create any TCP/IP sockets") {
			return nil, fmt.Errorf("start PostgreSQL on port %d: %w", port, errPortTaken)
		}
		return nil, errors.Join(err, stopErr)
	}
	return p, nil
}

func unsafeSettings(unsafe bool) map[string]string {
	if unsafe {
		return noDurability
	}
	return nil
}

// prepare waits until the server is ready and creates the database.
func (p *Postgres) prepare(ctx context.Context, address, database string) error {
	ctx, cancel := context.WithTimeout(ctx, postgresStart)
	defer cancel()
	conn, err := p.connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, database).Scan(&exists); err != nil {
		return fmt.Errorf("look up database %s: %w", database, err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()); err != nil {
			return fmt.Errorf("create database %s: %w", database, err)
		}
	}
	return nil
}

func (p *Postgres) connect(ctx context.Context, address string) (*pgx.Conn, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			return conn, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("PostgreSQL ended while it started: %w", p.endErr)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for PostgreSQL: %w", err)
		case <-tick.C:
		}
	}
}

// initData makes an empty directory a database cluster. A directory that an interrupted run left
// incomplete is created again: PostgreSQL writes PG_VERSION first, so its presence proves nothing, and a
// marker of ours is written last.
func initData(
	ctx context.Context, programs programs, dir string, account *account, unsafe bool,
) error {
	data, complete := filepath.Join(dir, "data"), filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return nil
	}
	if err := emptyDir(data); err != nil {
		return fmt.Errorf("clear directory of PostgreSQL: %w", err)
	}
	args := []string{
		"--encoding=UTF8", "--username=" + postgresUser, "--auth=scram-sha-256", "--lc-messages=C",
		"--lc-collate=C",
	}
	if unsafe {
		args = append(args, "--no-sync")
	}
	var output []byte
	var err error
	// Order is by bytes everywhere, but letters are those of Unicode, or a search would find only
	// ASCII names. What that locale is called differs among systems.
	for _, ctype := range []string{"C.UTF-8", "en_US.UTF-8", "UTF-8"} {
		cmd := exec.CommandContext(ctx, programs.initdb, append(args, "--lc-ctype="+ctype)...)
		cmd.Env = serverEnv()
		closeFiles, confineErr := account.confine(cmd, data, filepath.Join(dir, "password"))
		if confineErr != nil {
			return confineErr
		}
		output, err = cmd.CombinedOutput()
		closeFiles()
		if err == nil || !strings.Contains(string(output), "locale") {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("initialise PostgreSQL in %s: %w\n%s", data, err, output)
	}
	return os.WriteFile(complete, nil, 0o600)
}

// storedPassword returns the password stored in a file, and generates one the first time.
func storedPassword(file string, account *account) (string, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read password of PostgreSQL: %w", err)
	}
	password := rand.Text()
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write password of PostgreSQL: %w", err)
	}
	return password, account.chown(file)
}

// makePrivateDir makes a directory that only the account and root can open.
func makePrivateDir(dir string, account *account) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return account.chown(dir)
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// serverEnv leaves out the PG* variables of the user, which would lead the programs elsewhere.
func serverEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "LC_") &&
			!strings.HasPrefix(v, "LANG") {
			env = append(env, v)
		}
	}
	return append(env, "LC_ALL=C")
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tailOf returns the last lines of a log, for an error message.
func tailOf(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
