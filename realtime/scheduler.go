package realtime

import (
	"runtime"
	"sync"
)

// scheduler calls [Options].Wake of the sessions that have something to send, in a few goroutines
// for all of them: a goroutine per session and burst would cost about a third of a short write on
// top of it. The goroutines exist only while sessions are queued.
//
// A session is queued at most once, since it is queued only when it falls from asleep to awake. So
// the queue is never longer than the number of sessions, and what happens to a session while it is
// queued is written together.
type scheduler struct {
	maxRunning int // goroutines at once

	mu      sync.Mutex
	queue   []*Session
	first   int // index in queue of the first session that is still waiting
	running int
	idle    sync.Cond // signalled when nothing is queued and nothing runs
}

func newScheduler() *scheduler {
	s := &scheduler{maxRunning: runtime.GOMAXPROCS(0)}
	s.idle.L = &s.mu
	return s
}

// Slot is the right of one call of [Options].Wake to a goroutine of the scheduler. A transport that
// is about to wait, for a client, a lock or the log, calls Release first: from then on the
// goroutine belongs to it alone, and another one continues with the next session. The methods may
// be called on nil, which stands for a goroutine of the caller's own.
type Slot struct {
	scheduler *scheduler
	released  bool
	batches   int // returned by Next in this call
}

const (
	// maxBatches is how much one session may be sent in its slot. A session with a longer backlog
	// continues in a goroutine of its own, so that it does not delay the others.
	maxBatches = 4
	// yieldEvery is how many sessions are called before other goroutines of the process may run.
	yieldEvery = 32
)

// Release lets the other sessions continue without this goroutine. Calling it again is harmless.
func (t *Slot) Release() {
	if t == nil || t.released {
		return
	}
	t.released = true
	t.scheduler.mu.Lock()
	defer t.scheduler.mu.Unlock()
	t.scheduler.exit()
}

// count counts a batch for the session.
func (t *Slot) count() {
	if t == nil {
		return
	}
	if t.batches++; t.batches >= maxBatches {
		t.Release()
	}
}

// enqueue queues sessions to be called.
func (s *scheduler) enqueue(sessions ...*Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first > len(s.queue)/2 {
		n := copy(s.queue, s.queue[s.first:])
		clear(s.queue[n:])
		s.queue, s.first = s.queue[:n], 0
	}
	s.queue = append(s.queue, sessions...)
	s.start()
}

// start adds a goroutine if there is enough work for one more. The lock is held.
func (s *scheduler) start() {
	if s.running < s.maxRunning && len(s.queue)-s.first > s.running*yieldEvery {
		s.running++
		go s.run()
	}
}

// exit takes a goroutine out of the count. The lock is held.
func (s *scheduler) exit() {
	s.running--
	s.start()
	if s.running == 0 {
		s.idle.Broadcast()
	}
}

func (s *scheduler) run() {
	slot := &Slot{scheduler: s}
	for n := 1; ; n++ {
		session := s.next()
		if session == nil {
			return
		}
		slot.batches = 0
		session.opts.Wake(slot)
		if slot.released {
			return
		}
		if n%yieldEvery == 0 {
			runtime.Gosched()
		}
	}
}

// next takes a session from the queue. When it is empty, the caller is counted out and must return.
func (s *scheduler) next() *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == len(s.queue) {
		s.exit()
		return nil
	}
	session := s.queue[s.first]
	s.queue[s.first] = nil
	s.first++
	s.start()
	return session
}

// wait waits until the queue is empty and nothing runs.
func (s *scheduler) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.running > 0 {
		s.idle.Wait()
	}
}
