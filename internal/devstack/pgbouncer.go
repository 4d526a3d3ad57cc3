package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncerConfig configures a PgBouncer.
type PgBouncerConfig struct {
	Dir  string // of its configuration
	URL  string // of the database behind it
	Mode string // pool_mode: session, transaction or statement
}

// PgBouncer is a pooler in front of one database, a process of its own. It ends with this process
// at the latest.
type PgBouncer struct {
	url   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// StartPgBouncer starts the pgbouncer that is installed, as its package configures it, on a free
// port of the loopback interface, and waits until it answers.
func StartPgBouncer(ctx context.Context, cfg PgBouncerConfig) (*PgBouncer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		return nil, fmt.Errorf("find PgBouncer: %w", err)
	}
	behind, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	ini := fmt.Sprintf("[databases]\n* = host=%s port=%d user=%s password=%s\n"+
		"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nauth_type = any\npool_mode = %s\n"+
		"unix_socket_dir =\n", behind.Host, behind.Port, behind.User, behind.Password, port, cfg.Mode)
	if os.Geteuid() == 0 {
		ini += "user = nobody\n" // it refuses to run as root
	}
	file := filepath.Join(cfg.Dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(ini), 0o600); err != nil {
		return nil, fmt.Errorf("configure PgBouncer: %w", err)
	}
	address := url.URL{
		Scheme: "postgres", User: url.User(behind.User), Path: "/" + behind.Database,
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		RawQuery: "sslmode=disable",
	}
	b := &PgBouncer{
		url:   address.String(),
		cmd:   exec.Command(program, "-q", file), //nolint:noctx // it runs until Stop
		ended: make(chan struct{}),
	}
	b.cmd.SysProcAttr = endWithParent()
	started := make(chan error)
	go b.supervise(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start PgBouncer: %w", err)
	}
	if err := b.responds(ctx); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// supervise starts the pooler and waits for its end, on one thread as the kernel ends it with that.
func (b *PgBouncer) supervise(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(b.ended)
	err := b.cmd.Start()
	started <- err
	if err == nil {
		_ = b.cmd.Wait() // it is killed
	}
}

// responds waits until the pooler does.
func (b *PgBouncer) responds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, b.url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-b.ended:
			return errors.New("start PgBouncer: it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("wait for PgBouncer: %w", err)
		}
	}
}

// URL is the address of the database through the pooler.
func (b *PgBouncer) URL() string { return b.url }

// Stop ends the pooler at once. Stopping it again does nothing.
func (b *PgBouncer) Stop() {
	_ = b.cmd.Process.Kill() // it may have ended
	<-b.ended
}
