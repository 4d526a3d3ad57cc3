package ws

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Slot is the right of a goroutine to run while others wait for it. Its holder releases it before
// it waits itself; nil stands for a goroutine that none waits for.
type Slot interface{ Release() }

// Release releases a slot, unless it is nil.
func Release(slot Slot) {
	if slot != nil {
		slot.Release()
	}
}

// Write sends whole frames to the client. If the client has not taken them within the write
// timeout, it returns an error and the connection is closed, as a partly written frame cannot be
// continued.
func (c *Conn) Write(frames []byte) error { return c.Push(frames, nil) }

// Push is Write, and releases the slot before it waits for the client or for another writer. As a
// rule it need not wait: what fits into the socket's buffer is written at once.
func (c *Conn) Push(frames []byte, slot Slot) error {
	if !c.writing.TryLock() {
		Release(slot)
		c.writing.Lock()
	}
	defer c.writing.Unlock()
	if c.closing.Load() {
		return fmt.Errorf("write websocket: %w", ErrClosed)
	}
	rest, err := c.try(frames)
	if err == nil && len(rest) > 0 {
		Release(slot)
		err = c.wait(rest)
	}
	if err != nil {
		c.closing.Store(true)
		_ = c.socket.Close()
		return fmt.Errorf("write websocket: %w", err)
	}
	return nil
}

// wait writes as the client reads, within the time limit.
func (c *Conn) wait(frames []byte) error {
	// Moving a deadline costs as much as a short write does outside the kernel, so it is moved only
	// when less than one timeout is left.
	if now := time.Now(); c.deadline.Sub(now) < c.writeTimeout {
		c.deadline = now.Add(c.writeTimeout + c.writeTimeout/8)
		if err := c.socket.SetWriteDeadline(c.deadline); err != nil {
			return err
		}
	}
	_, err := c.socket.Write(frames)
	return err
}

// try writes what the socket takes at once, and returns the rest: all of it if the socket cannot be
// reached, as under TLS.
func (c *Conn) try(frames []byte) (rest []byte, err error) {
	if c.raw == nil {
		return frames, nil
	}
	a := attempts.Get().(*attempt)
	a.rest = frames
	// An error means that nothing was written: an old deadline has passed, which wait moves, or the
	// connection is closed, which wait finds out.
	_ = c.raw.Write(a.write)
	rest, err = a.rest, a.err
	a.rest, a.err = nil, nil
	attempts.Put(a)
	return rest, err
}

// attempt is one write to a socket. Attempts are pooled: each would otherwise allocate its closure.
type attempt struct {
	rest  []byte
	err   error
	write func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.write = func(fd uintptr) bool {
		// does not block: sockets of the package net are non-blocking
		n, err := syscall.Write(int(fd), a.rest)
		switch {
		case n > 0:
			a.rest = a.rest[n:]
		case err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			// left to wait
			a.err = os.NewSyscallError("write", err)
		}
		return true
	}
	return a
}}
