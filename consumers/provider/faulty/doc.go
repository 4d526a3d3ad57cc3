// Package faulty holds services that fail in every way that real ones do, as real servers on real sockets: an SMS service
// ([SMS]), a mail server ([Mail]) and a push service ([Push]). They count what they were asked and what they took, so
// that a test of deliveries can be judged from the other end of the wire.
//
// What goes wrong is drawn from [Faults] by a seed. The order in which requests come in is not ours, so a seed repeats
// the mixture, not the history.
package faulty

import (
	"math/rand/v2"
	"sync"
)

// Fault is one way to fail.
type Fault string

// The ways. Those that say so happen after the message has been taken.
const (
	None        Fault = ""
	Busy        Fault = "busy"         // 429 or 451: not taken, come back later
	Broken      Fault = "broken"       // an internal error; not taken
	BrokenTaken Fault = "broken_taken" // an internal error; taken
	Silent      Fault = "silent"       // no answer until the client gives up; not taken
	SilentTaken Fault = "silent_taken" // no answer until the client gives up; taken
	Hangup      Fault = "hangup"       // the connection ends without an answer; not taken
	HangupTaken Fault = "hangup_taken" // the connection ends without an answer; taken
	Refuse      Fault = "refuse"       // refused for good; not taken
	Garbled     Fault = "garbled"      // taken, but the answer makes no sense
)

// accepts reports that the message is taken all the same.
func (f Fault) accepts() bool {
	switch f {
	case None, BrokenTaken, SilentTaken, HangupTaken, Garbled:
		return true
	}
	return false
}

// Faults are how often each goes wrong, as shares of all requests; what is left goes well.
type Faults map[Fault]float64

// dice draws faults.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
	order  []Fault
	faults Faults
}

func newDice(seed uint64, faults Faults) *dice {
	d := &dice{random: rand.New(rand.NewPCG(seed, 0)), faults: faults} //nolint:gosec // repeatable, not secret
	for _, f := range []Fault{Busy, Broken, BrokenTaken, Silent, SilentTaken, Hangup, HangupTaken, Refuse, Garbled} {
		if faults[f] > 0 {
			d.order = append(d.order, f)
		}
	}
	return d
}

func (d *dice) fault() Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.random.Float64()
	for _, f := range d.order {
		if x -= d.faults[f]; x < 0 {
			return f
		}
	}
	return None
}

func (d *dice) chance(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.Float64() < p
}
