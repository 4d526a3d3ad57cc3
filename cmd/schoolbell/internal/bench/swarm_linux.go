package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// swarm reads very many connections in one goroutine with as little work as possible: a goroutine
// for each would use more of the machine than the server does, and the delays would be its own. It
// looks for news every glance, as clients elsewhere do not wake a process on the server's machine.
type swarm struct {
	protocol FanoutProtocol
	// of each frame; published is when the first of it was
	received func(deliveries int, published, now time.Time)
	epoll    int

	mu    sync.Mutex // held while reading
	socks map[int32]*sock

	stop    chan struct{}
	running sync.WaitGroup
}

// sock is one connection, whose socket is no longer known to Go.
type sock struct {
	fd      int
	partial []byte // the beginning of a frame
}

const glance = time.Millisecond

func newSwarm(protocol FanoutProtocol, received func(int, time.Time, time.Time)) (*swarm, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	s := &swarm{
		protocol: protocol, received: received, epoll: epoll, socks: map[int32]*sock{},
		stop: make(chan struct{}),
	}
	s.running.Go(s.run)
	return s, nil
}

// add takes a connection over and begins to read it.
func (s *swarm) add(conn net.Conn, had []byte) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	fd := -1
	cerr := raw.Control(func(old uintptr) { fd, err = syscall.Dup(int(old)) })
	if err = errors.Join(cerr, err, conn.Close()); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.socks[int32(fd)] = &sock{fd: fd, partial: had}
	err = syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, fd,
		&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	return nil
}

func (s *swarm) run() {
	events := make([]syscall.EpollEvent, 1024)
	buf := make([]byte, 256<<10)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		n, err := syscall.EpollWait(s.epoll, events, 0)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
		s.mu.Lock()
		for i := range max(0, n) {
			s.read(s.socks[events[i].Fd], buf)
		}
		s.mu.Unlock()
		if n == len(events) {
			continue
		}
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
	}
}

// read takes what has come on one connection.
func (s *swarm) read(k *sock, buf []byte) {
	at := copy(buf, k.partial)
	n, err := syscall.Read(k.fd, buf[at:])
	if n <= 0 {
		// it has been closed: deliveries will be missing
		if err == nil || !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			_ = syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_DEL, k.fd, nil)
		}
		return
	}
	now := time.Now()
	rest := buf[:at+n]
	for {
		payload, more, ok := cutFrame(rest)
		if !ok {
			break
		}
		rest = more
		if string(payload) == s.protocol.Ping {
			_, _ = syscall.Write(k.fd, s.protocol.masked(s.protocol.Pong))
			continue
		}
		if n := bytes.Count(payload, s.protocol.Mark); n > 0 {
			s.received(n, publishedAt(payload), now)
		}
	}
	k.partial = append(k.partial[:0], rest...)
}

// close ends the connections, at once: else their ports would be missing for a minute when the next
// server is measured.
func (s *swarm) close() {
	close(s.stop)
	s.running.Wait()
	for _, k := range s.socks {
		_ = syscall.SetsockoptLinger(k.fd, syscall.SOL_SOCKET, syscall.SO_LINGER,
			&syscall.Linger{Onoff: 1})
		_ = syscall.Close(k.fd)
	}
	_ = syscall.Close(s.epoll)
}
