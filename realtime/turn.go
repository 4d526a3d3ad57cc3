package realtime

import (
	"runtime"
	"sync"
)

// turns calls the sessions that have something to hear, in a few goroutines for all of them: one of its own for each
// session and burst costs about a third as much as a short write. They live while anybody waits for a turn.
//
// A session waits for one turn at most, so there are no more in the queue than sessions. What happens to it while it
// waits is written together.
type turns struct {
	most int // goroutines at once

	mu      sync.Mutex
	queue   []*Session
	first   int // in queue, of those that still wait
	running int
	idle    sync.Cond // nobody waits and nothing runs
}

func newTurns() *turns {
	t := &turns{most: runtime.GOMAXPROCS(0)}
	t.idle.L = &t.mu
	return t
}

// Turn is one call of [Options].Wake, in a goroutine for which other sessions wait. Whoever has to wait in it, for a
// client, a lock or the log, calls End before: from then on the goroutine is theirs alone, and another one goes on with
// the next session. The methods may be called on nil, which stands for a goroutine of the caller's own.
type Turn struct {
	turns   *turns
	ended   bool
	batches int // that Next has returned
}

const (
	// maxBatches is how much a session may hear in one turn. Who has more to catch up with does so beside the others.
	maxBatches = 4
	// stretch is how many sessions are called before other goroutines of the process have their chance.
	stretch = 32
)

// End lets the other sessions go on without this goroutine. More than once is harmless.
func (t *Turn) End() {
	if t == nil || t.ended {
		return
	}
	t.ended = true
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	t.turns.leave()
}

// count counts a batch that the session has been given.
func (t *Turn) count() {
	if t == nil {
		return
	}
	if t.batches++; t.batches >= maxBatches {
		t.End()
	}
}

// give gives a turn to each of some sessions.
func (t *turns) give(sessions ...*Session) {
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
func (t *turns) start() {
	if t.running < t.most && len(t.queue)-t.first > t.running*stretch {
		t.running++
		go t.run()
	}
}

// leave takes a goroutine out. The lock is held.
func (t *turns) leave() {
	t.running--
	t.start()
	if t.running == 0 {
		t.idle.Broadcast()
	}
}

func (t *turns) run() {
	turn := &Turn{turns: t}
	for n := 1; ; n++ {
		s := t.next()
		if s == nil {
			return
		}
		turn.batches = 0
		s.opts.Wake(turn)
		if turn.ended {
			return
		}
		if n%stretch == 0 {
			runtime.Gosched()
		}
	}
}

// next is the session whose turn it is. When there is none, the caller no longer counts.
func (t *turns) next() *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == len(t.queue) {
		t.leave()
		return nil
	}
	s := t.queue[t.first]
	t.queue[t.first] = nil
	t.first++
	t.start()
	return s
}

// wait waits until all have had their turn.
func (t *turns) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.running > 0 {
		t.idle.Wait()
	}
}
