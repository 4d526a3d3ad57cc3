package ws

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Slot is what a goroutine for which others wait ends before it waits itself.
type Slot interface{ End() }

// NoSlot is the turn of a goroutine for which nobody waits.
type NoSlot struct{}

// End implements [Slot].
func (NoSlot) End() {}

// Write passes whole frames to the client. It fails when the client has not taken them within the time limit; the
// connection is then of no more use, and closed.
func (c *Conn) Write(frames []byte) error { return c.Push(frames, NoSlot{}) }

// Push is Write, and ends the turn before it waits for the client or another writer. As a rule it does not have to: what
// goes into the socket's buffer is written without that.
func (c *Conn) Push(frames []byte, slot Slot) error {
	if !c.writing.TryLock() {
		slot.End()
		c.writing.Lock()
	}
	defer c.writing.Unlock()
	if c.closing.Load() {
		return fmt.Errorf("write websocket: %w", ErrClosed)
	}
	rest, err := c.try(frames)
	if err == nil && len(rest) > 0 {
		slot.End()
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
	// To move a deadline costs as much as a short write needs besides the kernel, so it is moved when that matters.
	if now := time.Now(); c.deadline.Sub(now) < c.writeTimeout {
		c.deadline = now.Add(c.writeTimeout + c.writeTimeout/8)
		if err := c.socket.SetWriteDeadline(c.deadline); err != nil {
			return err
		}
	}
	_, err := c.socket.Write(frames)
	return err
}

// try writes what the socket takes at once, and returns the rest: all of it, where there is no socket to be reached.
func (c *Conn) try(frames []byte) (rest []byte, err error) {
	if c.raw == nil {
		return frames, nil
	}
	a := attempts.Get().(*attempt)
	a.rest = frames
	// If it fails, nothing has been written: a deadline of before has passed, which wait moves, or the connection is
	// closed, which wait will find.
	_ = c.raw.Write(a.write)
	rest, err = a.rest, a.err
	a.rest, a.err = nil, nil
	attempts.Put(a)
	return rest, err
}

// attempt is one write to a socket. Attempts are lent, since each would else cost memory for its function.
type attempt struct {
	rest  []byte
	err   error
	write func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.write = func(fd uintptr) bool {
		n, err := syscall.Write(int(fd), a.rest) // sockets of the package net do not make it wait
		switch {
		case n > 0:
			a.rest = a.rest[n:]
		case err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR): // those are for wait
			a.err = os.NewSyscallError("write", err)
		}
		return true
	}
	return a
}}
