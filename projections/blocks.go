package projections

import "github.com/schoolbell/schoolbell/eventlog"

// LogIndex is the name under which stores record the version of the index of the log, beside those
// of the projections' folds: tables without it, or with an older one, are rebuilt as after a change
// of folds. It is no projection. What it says does not depend on folds: an event that is parked or
// skipped is in it like any other.
const (
	LogIndex        = "log_index"
	LogIndexVersion = 1
)

// blocks collects where in the log the events of a batch are, by school (see [eventlog.Block]).
type blocks struct {
	number int64          // of the block that the latest event is in
	at     map[string]int // the places in all of this block's schools
	all    []eventlog.Block
}

// add adds an event; offsets grow from call to call.
func (b *blocks) add(school string, offset int64) {
	if n := offset / eventlog.BlockSize; n != b.number {
		b.number = n
		clear(b.at)
	}
	i, ok := b.at[school]
	if !ok {
		i = len(b.all)
		b.at[school] = i
		b.all = append(b.all, eventlog.Block{School: school})
	}
	b.all[i].Add(offset)
}

// take returns what was collected, and starts again.
func (b *blocks) take() []eventlog.Block {
	all := b.all
	clear(b.at)
	b.all = nil
	return all
}
