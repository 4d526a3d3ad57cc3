package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const testLag = 250 * time.Millisecond

// partition is a partition of the log in a model: whose its records are, and readers that read a
// number of them a millisecond and store their positions now and then.
type partition struct {
	now     time.Time
	records []string // schools
	read    []float64
	stored  []int64
	speed   []int // by reader
	storeAt []time.Time
}

const storeEvery = 50 * time.Millisecond

func newPartition(speed ...int) *partition {
	p := &partition{now: time.Unix(0, 0), speed: speed}
	p.read, p.stored = make([]float64, len(speed)), make([]int64, len(speed))
	p.storeAt = make([]time.Time, len(speed))
	return p
}

func (p *partition) append(school string, n int) (first int64) {
	first = int64(len(p.records))
	for range n {
		p.records = append(p.records, school)
	}
	return first
}

func (p *partition) pass(d time.Duration) {
	p.now = p.now.Add(d)
	for i := range p.read {
		p.read[i] = min(p.read[i]+float64(p.speed[i])*float64(d.Milliseconds()), float64(len(p.records)))
		if p.now.Sub(p.storeAt[i]) >= storeEvery {
			p.stored[i], p.storeAt[i] = int64(p.read[i]), p.now
		}
	}
}

// ahead is how many records of a school are before one that is appended now, for the slowest reader.
func (p *partition) ahead(school string) (n int) {
	slowest := p.read[0]
	for _, r := range p.read {
		slowest = min(slowest, r)
	}
	for _, owner := range p.records[int(slowest):] {
		if owner == school {
			n++
		}
	}
	return n
}

// model is processes that write to a partition.
type model struct {
	partition *partition
	processes []*backlog
	pending   []pending // claims whose append is under way
	waiting   map[*waiter]int
}

type pending struct {
	process *backlog
	school  string
	n       int
}

func newModel(processes int, speed ...int) *model {
	m := &model{partition: newPartition(speed...), waiting: map[*waiter]int{}}
	for range processes {
		m.processes = append(m.processes, newBacklog(testLag, len(speed)))
	}
	return m
}

// send is a request: it is let in, or waits.
func (m *model) send(process int, school string, n int) bool {
	b := m.processes[process]
	if b.enter(school, n) {
		m.pending = append(m.pending, pending{b, school, n})
		return true
	}
	m.waiting[b.wait(school, n)] = process
	return false
}

// finish ends the append that was begun first.
func (m *model) finish(failed bool) {
	if len(m.pending) == 0 {
		return
	}
	p := m.pending[0]
	m.pending = m.pending[1:]
	if failed {
		p.process.failed(p.school, p.n)
	} else {
		first := m.partition.append(p.school, p.n)
		p.process.appended(m.partition.now, p.school, p.n, first)
	}
	m.letIn()
}

func (m *model) observe() {
	for _, b := range m.processes {
		b.observe(m.partition.now, m.partition.stored)
	}
	m.letIn()
}

// letIn begins the appends of those who waited and were let in.
func (m *model) letIn() {
	for w, process := range m.waiting {
		select {
		case <-w.ready:
			m.pending = append(m.pending, pending{m.processes[process], w.school, w.n})
			delete(m.waiting, w)
		default:
		}
	}
}

func (m *model) waits(school string) (n int) {
	for w := range m.waiting {
		if w.school == school {
			n++
		}
	}
	return n
}

// bound is how many records of one school may be ahead of any other's: half of what is read within
// the lag for each process but at most all of it, with what a position that is stored now and then
// makes the readers look faster; and one request and a half in each process.
func (m *model) bound() int {
	speed := m.partition.speed[0]
	for _, s := range m.partition.speed {
		speed = min(speed, s)
	}
	within := float64(speed) * float64(testLag.Milliseconds()) * 1.3
	return max(minBudget, int(within))*min(2, len(m.processes))/2 +
		len(m.processes)*(guaranteed+refill)
}

// Whatever a hostile school does, through any of the processes: what it has ahead of its neighbour
// is bounded, the neighbour is let in at once, every request gets in in the end, and nothing is left
// that was counted.
func TestP11_WhatASchoolHasAheadOfOthersIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		processes := rapid.IntRange(1, 4).Draw(t, "processes")
		m := newModel(processes, rapid.IntRange(4, 200).Draw(t, "tables"),
			rapid.IntRange(4, 200).Draw(t, "planning"))
		process := rapid.IntRange(0, processes-1)
		size := rapid.OneOf(rapid.Just(maxEvents), rapid.IntRange(1, maxEvents))
		steps := rapid.IntRange(50, 400).Draw(t, "steps")
		for range steps {
			for i := 0; i < 10 && m.waits("hostile") < 8 && len(m.pending) < 4; i++ {
				m.send(process.Draw(t, "process"), "hostile", size.Draw(t, "size"))
			}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				m.finish(rapid.IntRange(0, 9).Draw(t, "failed") == 0)
			case 1:
				m.finish(false)
				m.finish(false)
			case 2:
				m.partition.pass(time.Duration(rapid.IntRange(1, 60).Draw(t, "ms")) * time.Millisecond)
				m.observe()
			case 3:
				p := process.Draw(t, "small's")
				n := rapid.IntRange(1, 50).Draw(t, "few")
				if d := m.processes[p].schools["small"]; d == nil || d.unread+n <= guaranteed {
					require.True(t, m.send(p, "small", n), "a school below its share is never refused")
				}
			}
			require.LessOrEqual(t, m.partition.ahead("hostile"), m.bound())
		}
		for range 100_000 {
			if len(m.waiting)+len(m.pending) == 0 {
				break
			}
			m.finish(false)
			m.partition.pass(storeEvery)
			m.observe()
		}
		require.Empty(t, m.waiting, "everybody gets in in the end")
		m.partition.pass(time.Hour)
		m.observe()
		for _, b := range m.processes {
			require.Empty(t, b.schools)
			require.Empty(t, b.own)
			require.Zero(t, b.claimed)
			require.Zero(t, b.unread)
			require.True(t, b.isIdle())
		}
	})
}

// flood lets schools send all they can for a while, and returns how much of each was read.
func (m *model) flood(schools []string, n int, during time.Duration) map[string]int {
	const step = 5 * time.Millisecond
	began := int(m.partition.read[0])
	for range during / step {
		for _, school := range schools {
			for i := 0; i < 10 && m.waits(school) < 2; i++ {
				m.send(0, school, n)
			}
		}
		for len(m.pending) > 0 {
			m.finish(false)
		}
		m.partition.pass(step)
		m.observe()
	}
	shares := map[string]int{}
	for _, school := range m.partition.records[began:int(m.partition.read[0])] {
		shares[school]++
	}
	return shares
}

// A school alone has what the readers can do, and of several each has the same, whatever the size
// of its requests.
func TestReadersAreBusyAndShared(t *testing.T) {
	t.Parallel()
	for _, speed := range []int{5, 40, 150} {
		m := newModel(1, speed)
		can := speed * 5000
		alone := m.flood([]string{"one"}, maxEvents, 5*time.Second)
		require.Greater(t, alone["one"], can*7/10, "%d records/ms", speed)
		var schools []string
		for i := range 5 {
			schools = append(schools, fmt.Sprint("school-", i))
		}
		shared := m.flood(schools, 100, 5*time.Second)
		sum := 0
		for _, school := range schools {
			sum += shared[school]
			require.InDelta(t, can/5, shared[school], float64(can)/10, "%d records/ms", speed)
		}
		require.Greater(t, sum, can*8/10)
	}
}

func TestNobodyIsPacedWhileNoReaderMoves(t *testing.T) {
	t.Parallel()
	m := newModel(1, 10, 10)
	b := m.processes[0]
	m.flood([]string{"hostile"}, maxEvents, time.Second)
	require.False(t, b.suspended)
	m.partition.speed = []int{0, 0}
	m.flood([]string{"hostile"}, maxEvents, patience-time.Second)
	require.False(t, b.suspended, "a partition may change hands")
	require.NotEmpty(t, m.waiting)
	m.flood([]string{"hostile"}, maxEvents, 2*time.Second)
	require.True(t, b.suspended)
	require.Empty(t, b.own, "memory does not grow meanwhile")
	require.True(t, m.send(0, "hostile", maxEvents))

	// One of the two goes on: then that is the speed, and the other one is not waited for.
	m.partition.speed = []int{10, 0}
	m.flood([]string{"hostile"}, maxEvents, time.Second)
	require.False(t, b.suspended)
	require.NotEmpty(t, m.waiting)
	require.Equal(t, m.partition.stored[0], b.frontier)
	m.partition.speed = []int{10, 5}
	m.flood([]string{"hostile"}, maxEvents, time.Second)
	require.Equal(t, m.partition.stored[1], b.frontier)
}

func TestReadersThatCannotBeAskedAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{false, true} {
		m := newModel(1, 10)
		b := m.processes[0]
		if before {
			m.flood([]string{"hostile"}, maxEvents, time.Second)
		}
		at := m.partition.now
		send := func() bool {
			let := m.send(0, "hostile", maxEvents)
			for len(m.pending) > 0 {
				m.finish(false)
			}
			return let
		}
		for range 3 {
			send()
		}
		require.False(t, send())
		b.observe(at.Add(patience-time.Second), nil)
		require.False(t, send())
		b.observe(at.Add(patience+time.Second), nil)
		m.letIn()
		require.True(t, send())
	}
}

// A process that starts finds a backlog whose owners it does not know.
func TestAfterARestartTheBacklogCounts(t *testing.T) {
	t.Parallel()
	m := newModel(1, 10)
	m.partition.append("hostile", 100_000)
	require.True(t, m.send(0, "small", 10))
	m.finish(false)
	m.partition.pass(storeEvery)
	m.observe()
	require.True(t, m.send(0, "hostile", maxEvents))
	require.False(t, m.send(0, "hostile", 1), "it has its share")
	require.True(t, m.send(0, "small", 100))

	// A reader that stopped long ago delays nobody.
	m = newModel(1, 10, 0)
	m.partition.append("hostile", 100_000)
	m.partition.pass(time.Hour)
	require.True(t, m.send(0, "hostile", maxEvents))
	m.finish(false)
	m.observe()
	require.False(t, m.send(0, "hostile", maxEvents))
	m.partition.pass(proof)
	m.observe()
	require.Empty(t, m.waiting)
	require.Equal(t, m.partition.stored[0], m.processes[0].frontier)
}

// Nobody below the average waits for a backlog that others made.
func TestSharesGrowWithTheBacklog(t *testing.T) {
	t.Parallel()
	b := newBacklog(testLag, 1)
	b.observe(time.Unix(0, 0), []int64{0})
	b.claim("hostile", 100_000)
	b.appended(time.Unix(0, 0), "hostile", 100_000, 0)
	b.claim("small", refill+1)
	require.False(t, b.fits("hostile", 1))
	require.True(t, b.fits("small", 49_000))
	require.False(t, b.fits("small", 51_000))
}
