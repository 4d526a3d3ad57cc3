// Package faulty holds services that fail in every way that real ones do, as real servers on real
// sockets: an SMS service ([SMS]), a mail server ([Mail]) and a push service ([Push]). They count
// the requests and the accepted messages, so that a test can judge deliveries from the other end of
// the wire.
//
// Failures are drawn from [Faults] by a seed. The order of concurrent requests is not ours, so a
// seed repeats the mixture, not the history.
//
// The first change: another way to fail is a [Fault] here and a case in each server's response.
package faulty

import (
	"math/rand/v2"
	"sync"
)

// Fault is one way to fail.
type Fault string

// The faults. Those named Taken happen after the message has been accepted.
const (
	None        Fault = ""
	Busy        Fault = "busy"         // 429 or 451: not accepted, try again later
	Broken      Fault = "broken"       // an internal error; not accepted
	BrokenTaken Fault = "broken_taken" // an internal error; accepted
	Silent      Fault = "silent"       // no response until the client gives up; not accepted
	SilentTaken Fault = "silent_taken" // no response until the client gives up; accepted
	Hangup      Fault = "hangup"       // the connection ends without a response; not accepted
	HangupTaken Fault = "hangup_taken" // the connection ends without a response; accepted
	Refuse      Fault = "refuse"       // refused for good; not accepted
	Garbled     Fault = "garbled"      // accepted, but the response is unreadable
	Late        Fault = "late"         // accepted long after the client has given up
	// Faults of SMS services with a status of success.
	ErrorBody Fault = "error_body" // refused for good, in the body
	Portal    Fault = "portal"     // the page of a proxy; the request never arrived
	Empty     Fault = "empty"      // accepted, but the response has no body
)

// accepts reports that the message is accepted nevertheless.
func (f Fault) accepts() bool {
	switch f {
	case None, BrokenTaken, SilentTaken, HangupTaken, Garbled, Late, Empty:
		return true
	}
	return false
}

// Faults holds the share of requests with each fault; the rest succeeds.
type Faults map[Fault]float64

// dice draws faults.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
	order  []Fault
	faults Faults
}

func newDice(seed uint64, faults Faults) *dice {
	d := &dice{
		random: rand.New(rand.NewPCG(seed, 0)),
		faults: faults,
	} //nolint:gosec // repeatable, not secret
	for _, f := range []Fault{
		Busy, Broken, BrokenTaken, Silent, SilentTaken, Hangup, HangupTaken,
		Refuse, Garbled, Late, ErrorBody, Portal, Empty,
	} {
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
