package realtime

import (
	"runtime"
	"sync"
)

// scheduler calls the sessions that have something to hear, in a few goroutines for all of them: one of its own for each
// session and burst costs about a third as much as a short write. They live while anybody waits for a turn.
//
// A session waits for one turn at most, so there are no more in the queue than sessions. What happens to it while it
// waits is written together.
type scheduler struct {
	maxRunning int // goroutines at once

	mu      sync.Mutex
	queue   []*Session
	first   int // in queue, of those that still wait
	running int
	idle    sync.Cond // nobody waits and nothing runs
}

func newScheduler() *scheduler {
	t := &scheduler{maxRunning: runtime.GOMAXPROCS(0)}
	t.idle.L = &t.mu
	return t
}

// Slot is one call of [Options].Wake, in a goroutine for which other sessions wait. Whoever has to wait in it, for a
// client, a lock or the log, calls End before: from then on the goroutine is theirs alone, and another one goes on with
// the next session. The methods may be called on nil, which stands for a goroutine of the caller's own.
type Slot struct {
	scheduler *scheduler
	ended     bool
	batches   int // that Next has returned
}

const (
	// maxBatches is how much a session may hear in one turn. Who has more to catch up with does so beside the others.
	maxBatches = 4
	// yieldEvery is how many sessions are called before other goroutines of the process have their chance.
	yieldEvery = 32
)

// End lets the other sessions go on without this goroutine. More than once is harmless.
func (t *Slot) End() {
	if t == nil || t.ended {
		return
	}
	t.ended = true
	t.scheduler.mu.Lock()
	defer t.scheduler.mu.Unlock()
	t.scheduler.exit()
}

// count counts a batch that the session has been given.
func (t *Slot) count() {
	if t == nil {
		return
	}
	if t.batches++; t.batches >= maxBatches {
		t.End()
	}
}

// enqueue gives a turn to each of some sessions.
func (t *scheduler) enqueue(sessions ...*Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first > len(t.queue)/2 {
		n := copy(t.queue, t.queue[t.first:])
		clear(t.queue[n:])
		t.queue, t.first = t.queue[:n], 0
	}
	t.queue = append(t.queue, sessions...)
	t.start()
}

// start adds a goroutine if there is enough to do for one more. The lock is held.
func (t *scheduler) start() {
	if t.running < t.maxRunning && len(t.queue)-t.first > t.running*yieldEvery {
		t.running++
		go t.run()
	}
}

// exit takes a goroutine out. The lock is held.
func (t *scheduler) exit() {
	t.running--
	t.start()
	if t.running == 0 {
		t.idle.Broadcast()
	}
}

func (t *scheduler) run() {
	slot := &Slot{scheduler: t}
	for n := 1; ; n++ {
		s := t.next()
		if s == nil {
			return
		}
		slot.batches = 0
		s.opts.Wake(slot)
		if slot.ended {
			return
		}
		if n%yieldEvery == 0 {
			runtime.Gosched()
		}
	}
}

// next is the session whose turn it is. When there is none, the caller no longer counts.
func (t *scheduler) next() *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == len(t.queue) {
		t.exit()
		return nil
	}
	s := t.queue[t.first]
	t.queue[t.first] = nil
	t.first++
	t.start()
	return s
}

// wait waits until all have had their turn.
func (t *scheduler) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.running > 0 {
		t.idle.Wait()
	}
}
