package simulate

import (
	"container/heap"
	"time"
)

// agenda holds what happens later. Of several things at the same moment, the one that was planned
// first comes first.
type agenda struct {
	entries entries
	count   int
}

type entry struct {
	when time.Time
	seq  int
	do   func(when time.Time)
}

// at plans something for a time.
func (a *agenda) at(when time.Time, do func(when time.Time)) {
	a.count++
	heap.Push(&a.entries, entry{when: when, seq: a.count, do: do})
}

// due does what was planned for before a moment.
func (s *School) due(moment time.Time) {
	for len(s.later.entries) > 0 && s.later.entries[0].when.Before(moment) {
		e := heap.Pop(&s.later.entries).(entry)
		e.do(e.when)
	}
}

type entries []entry

func (e entries) Len() int { return len(e) }

func (e entries) Less(i, j int) bool {
	if !e[i].when.Equal(e[j].when) {
		return e[i].when.Before(e[j].when)
	}
	return e[i].seq < e[j].seq
}

func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *entries) Push(v any) { *e = append(*e, v.(entry)) }

func (e *entries) Pop() any {
	last := len(*e) - 1
	v := (*e)[last]
	(*e)[last] = entry{}
	*e = (*e)[:last]
	return v
}
