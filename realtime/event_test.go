package realtime

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Frames that a slow session encodes after an event has left the ring must not be counted: nothing
// would subtract them.
func TestTheRingCountsOnlyWhatItHolds(t *testing.T) {
	t.Parallel()
	hub := &Hub{ringBytes: 1}
	p := &partition{hub: hub, schools: map[string]*school{}}
	sc := newSchool(p, "greenfield", -1)
	p.schools[sc.name] = sc
	e := newEvent(&eventlog.Entry{Record: eventlog.Record{Value: make([]byte, 100)}}, "some.type")
	e.home = sc
	sc.ring.push(e)
	p.all.push(e)
	p.usedBytes.Add(e.size)
	frame := func() {
		d := Delivery{Event: e}
		d.Frame(&Encoding{Append: func(dst []byte,
			_ *Delivery,
		) []byte {
			return append(dst, make([]byte, 1000)...)
		}})
	}
	frame()
	require.Greater(t, p.usedBytes.Load(), e.size+1000)
	p.evict()
	require.Zero(t, p.usedBytes.Load())
	frame()
	require.Zero(t, p.usedBytes.Load())
}
