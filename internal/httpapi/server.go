package httpapi

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server returns an http.Server with the time limits that a public one needs against slow clients.
// Routes that legitimately take longer extend their own deadlines.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h,
		// A header is one packet or two: whoever needs longer holds connections open on purpose.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      60 * time.Second,
		// Longer than the usual idle time of a load balancer (60 s), which must be the one to
		// close.
		IdleTimeout:    120 * time.Second,
		MaxHeaderBytes: 32 << 10,
		// Broken handshakes of port scanners are not our errors.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// LimitConnections returns a listener with at most n open connections; the others wait in the
// kernel's queue.
func LimitConnections(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	free   chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: c, free: l.free}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	free   chan struct{}
	closed atomic.Bool
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	if c.closed.CompareAndSwap(false, true) { // net/http closes some connections twice
		<-c.free
	}
	return err
}

// SyscallConn implements [syscall.Conn], for code that writes to the socket without blocking.
func (c *limitedConn) SyscallConn() (syscall.RawConn, error) {
	if socket, ok := c.Conn.(syscall.Conn); ok {
		return socket.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite ends the sending side only, so that the peer can read what is under way.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
