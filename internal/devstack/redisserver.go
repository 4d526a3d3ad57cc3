package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisServerConfig configures a Redis server.
type RedisServerConfig struct {
	Dir string // of its files
	// when what it appends to its file reaches the disk: always, everysec or no; without it there
	// is no file
	Sync string
}

// RedisServer is a real one, a process of its own: for what [Redis] cannot show. It ends with this
// process at the latest.
type RedisServer struct {
	port  int
	cmd   *exec.Cmd
	ended chan struct{}
}

// StartRedisServer starts the redis-server that is installed, on a free port of the loopback
// interface, and waits until it answers.
func StartRedisServer(ctx context.Context, cfg RedisServerConfig) (*RedisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("find Redis: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	args := []string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
	}
	if cfg.Dir != "" {
		args = append(args, "--dir", cfg.Dir)
	}
	if cfg.Sync != "" {
		args = append(args, "--appendonly", "yes", "--appendfsync", cfg.Sync)
	}
	s := &RedisServer{
		port:  port,
		cmd:   exec.Command(program, args...), //nolint:noctx // it runs until Stop
		ended: make(chan struct{}),
	}
	s.cmd.SysProcAttr = endWithParent()
	started := make(chan error)
	go s.supervise(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	if err := s.responds(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// supervise starts the server and waits for its end. The kernel ends it with the thread that
// started it, so that thread is locked for as long as the server lives.
func (s *RedisServer) supervise(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.ended)
	err := s.cmd.Start()
	started <- err
	if err == nil {
		_ = s.cmd.Wait() // it is killed
	}
}

// responds waits until the server does.
func (s *RedisServer) responds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: s.Address(), MaxRetries: -1})
	defer client.Close()
	for client.Ping(ctx).Err() != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.ended:
			return errors.New("start Redis: it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("wait for Redis: %w", context.Cause(ctx))
		}
	}
	return nil
}

// Address is the host and port to connect to.
func (s *RedisServer) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port is where it listens on the loopback interface.
func (s *RedisServer) Port() int { return s.port }

// Stop ends the server at once. Stopping it again does nothing.
func (s *RedisServer) Stop() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}
