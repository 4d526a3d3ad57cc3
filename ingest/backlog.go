package ingest

import (
	"math"
	"slices"
	"time"
)

const (
	// guaranteed is how many unread events a school may have in any case: those of one request. So
	// a school whose events have been read is never refused, and the largest request gets in.
	guaranteed = maxEvents
	// refill is the number of unread events below which a school may send one request more. Without
	// it, readers that are slower than a budget's worth would wait for the next request to arrive.
	refill = guaranteed / 2
	// minBudget is the smallest budget of a partition. Half of it, which is what a school alone may
	// have, is one request.
	minBudget = 2 * maxEvents
)

// backlog is what a partition has that is not read yet, as far as this process knows, and decides
// whose events are taken. It has no clock and no lock of its own.
//
// The decision is that of shared-memory switches (dynamic thresholds, Choudhury and Hahne): a school
// may have as much unread as the budget has left. So one school alone gets half of the budget and k
// get a k+1st each, and there is always room for one more, at once.
type backlog struct {
	maxLag time.Duration // of work

	end      int64              // after the last record that is known to be in the partition
	frontier int64              // what all live readers have read; -1 until something is known
	readers  []reading          // by reader
	own      []stretch          // unread records that this process appended, by offset
	schools  map[string]*demand // of this process, of those that have unread records
	claimed  int                // records that were let in and are not in the log yet
	unread   int                // the sum of all demands

	polled    bool      // readers were found, or that there are none
	began     time.Time // of the first append
	suspended bool      // no reader moves: whoever comes is let in

	waiting []*waiter // for room, in the order in which they came
}

// stretch is records of one school next to each other.
type stretch struct {
	school     string
	first, end int64
}

// demand is what one school has in a partition.
type demand struct {
	unread  int // records that are not read yet, those of claims included
	waiting int // requests that wait for room
}

// waiter is a request that waits for room.
type waiter struct {
	school string
	n      int
	ready  chan struct{} // closed when it was let in
}

func newBacklog(maxLag time.Duration, readers int) *backlog {
	b := &backlog{
		maxLag: maxLag, frontier: -1, readers: make([]reading, readers),
		schools: map[string]*demand{},
	}
	for i := range b.readers {
		b.readers[i].next = -1
	}
	return b
}

// total is how many records are ahead of one that is appended now.
func (b *backlog) total() int { return int(max(0, b.end-b.frontier)) + b.claimed }

// budget is how many records the slowest reader handles within the lag.
func (b *backlog) budget() int {
	rate := math.Inf(1)
	for i := range b.readers {
		if r := &b.readers[i]; r.isLive() {
			rate = min(rate, r.rate)
		}
	}
	if math.IsInf(rate, 1) { // none has moved yet
		return minBudget
	}
	return max(minBudget, int(rate*b.maxLag.Seconds()))
}

// fits reports whether n records of a school may be appended now.
func (b *backlog) fits(school string, n int) bool {
	if b.suspended {
		return true
	}
	mine, schools := 0, len(b.schools)
	if d := b.schools[school]; d != nil {
		mine = d.unread
	} else {
		schools++
	}
	// A school below the average of those here is not the one that others wait for, however long the
	// backlog is. What other processes appended does not count: nobody knows whose it is, and two
	// processes would let each other's records make room for more.
	share := max(guaranteed, b.unread/schools)
	return mine <= refill || mine+n <= share || mine+n <= b.budget()-b.total()
}

// enter lets n records of a school in, or returns false. Requests of a school stay in order, so none
// overtakes one that waits.
func (b *backlog) enter(school string, n int) bool {
	if d := b.schools[school]; d != nil && d.waiting > 0 || !b.fits(school, n) {
		return false
	}
	b.claim(school, n)
	return true
}

func (b *backlog) claim(school string, n int) {
	b.demand(school).unread += n
	b.unread += n
	b.claimed += n
}

func (b *backlog) demand(school string) *demand {
	d := b.schools[school]
	if d == nil {
		d = &demand{}
		b.schools[school] = d
	}
	return d
}

// wait queues a request that was not let in.
func (b *backlog) wait(school string, n int) *waiter {
	w := &waiter{school: school, n: n, ready: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.demand(school).waiting++
	return w
}

// giveUp takes a request out of the queue.
func (b *backlog) giveUp(w *waiter) {
	b.waiting = slices.DeleteFunc(b.waiting, func(other *waiter) bool { return other == w })
	b.stopWaiting(w)
	b.letIn()
}

func (b *backlog) stopWaiting(w *waiter) {
	b.schools[w.school].waiting--
	b.forget(w.school, 0)
}

// letIn lets those in who fit by now.
func (b *backlog) letIn() {
	var held map[string]bool // whose earlier request still waits
	b.waiting = slices.DeleteFunc(b.waiting, func(w *waiter) bool {
		if held[w.school] || !b.fits(w.school, w.n) {
			if held == nil {
				held = map[string]bool{}
			}
			held[w.school] = true
			return false
		}
		b.claim(w.school, w.n)
		b.stopWaiting(w)
		close(w.ready)
		return true
	})
}

// forget takes n unread records off a school.
func (b *backlog) forget(school string, n int) {
	d := b.schools[school]
	d.unread -= n
	b.unread -= n
	if d.unread == 0 && d.waiting == 0 {
		delete(b.schools, school)
	}
}

// appended says that a claim of n records is in the log, from first on.
func (b *backlog) appended(now time.Time, school string, n int, first int64) {
	b.claimed -= n
	if b.frontier < 0 {
		b.frontier = first // what was before is not known: it counts from the first reading on
	}
	if b.began.IsZero() {
		b.began = now
	}
	b.end = max(b.end, first+int64(n))
	for i := range b.readers {
		b.readers[i].begin(now)
	}
	s := stretch{school: school, first: first, end: first + int64(n)}
	if b.suspended {
		b.forget(school, n)
		return
	}
	// Appends finish in nearly the order of their offsets.
	at := len(b.own)
	for at > 0 && b.own[at-1].first > s.first {
		at--
	}
	b.own = slices.Insert(b.own, at, s)
	b.drop()
	b.letIn()
}

// failed says that a claim came to nothing, or that nobody knows. In the log, its records count
// among those of others as soon as a later one lies behind them.
func (b *backlog) failed(school string, n int) {
	b.claimed -= n
	b.forget(school, n)
	b.letIn()
}

// observe takes in how far the readers are: the offset of each one's next record, -1 for one that
// has never claimed the partition, nil when nobody could be polled.
func (b *backlog) observe(now time.Time, next []int64) {
	for i := range b.readers {
		if next != nil {
			b.end = max(b.end, next[i])
		}
	}
	slowest := int64(math.MaxInt64)
	for i := range b.readers {
		r := &b.readers[i]
		if next != nil {
			r.observe(now, next[i], b.frontier, b.end)
		}
		r.judge(now)
		if r.isLive() {
			slowest = min(slowest, r.next)
		}
	}
	b.polled = b.polled || next != nil
	b.suspended = slowest == math.MaxInt64 &&
		(b.polled || !b.began.IsZero() && now.Sub(b.began) >= patience)
	if b.suspended {
		b.disown()
	} else if slowest < math.MaxInt64 {
		b.frontier = slowest
		b.drop()
	}
	b.letIn()
}

// disown forgets whose the unread records are, which could become any number of them.
func (b *backlog) disown() {
	for _, s := range b.own {
		b.forget(s.school, int(s.end-s.first))
	}
	b.own = nil
}

// drop takes what is read off its schools.
func (b *backlog) drop() {
	done := 0
	for i := range b.own {
		s := &b.own[i]
		if s.first >= b.frontier {
			break
		}
		upTo := min(s.end, b.frontier)
		b.forget(s.school, int(upTo-s.first))
		if s.first = upTo; s.first == s.end {
			done++
		}
	}
	b.own = slices.Delete(b.own, 0, done)
}

// isIdle reports that there is nothing to find out from the readers.
func (b *backlog) isIdle() bool { return b.end <= max(0, b.frontier) && len(b.waiting) == 0 }
