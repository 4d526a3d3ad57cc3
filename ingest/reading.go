package ingest

import "time"

const (
	// sampleTime is how much time of work the rate of a reader is measured over. It is several times
	// the interval at which readers store their positions.
	sampleTime = 250 * time.Millisecond
	// rateDecay is the share of a measured decline of the rate that is believed. A reader looks slow
	// when there was too little to read, so its rate falls slowly and rises at once.
	rateDecay = 8
	// patience is how long a reader that has something to read may stand still until it is taken
	// for stopped: longer than another process takes to take its partitions over.
	patience = 10 * time.Second
	// proof is how long a reader has to move that is behind others when it is first seen, as it may
	// have stopped long ago. Readers that move store their positions more often.
	proof = time.Second
)

// reading is how far one reader has come in a partition, and how fast.
type reading struct {
	next    int64 // the offset of its next record; -1 while it has never claimed the partition
	moved   time.Time
	stopped bool // it has stood still for too long

	rate   float64 // records a second that it reads while there are any, 0 until measured
	read   int64   // of the sample, and
	worked time.Duration
	since  time.Time // from when on its work is not counted yet; zero while it has nothing to read
}

// isLive reports that others must wait for this reader.
func (r *reading) isLive() bool { return r.next >= 0 && !r.stopped }

// begin says that the reader has something to read.
func (r *reading) begin(now time.Time) {
	if r.since.IsZero() {
		r.since, r.moved = now, now
	}
}

// observe takes in the offset of the reader's next record, in a partition that is known to have been
// read up to a frontier and to reach to an end.
func (r *reading) observe(now time.Time, next, frontier, end int64) {
	was := r.next
	r.next = next
	switch {
	case next < 0:
		return
	case was < 0:
		r.since, r.moved = now, now
		if next < frontier {
			r.moved = now.Add(proof - patience)
		}
	case next != was:
		if r.stopped {
			r.read, r.worked, r.since = 0, 0, now
		}
		r.moved, r.stopped = now, false
		r.measure(now, next-was)
	}
	if next < end {
		r.begin(now)
		return
	}
	r.measure(now, 0)
	r.moved, r.stopped, r.since = now, false, time.Time{}
}

// measure adds to the sample what was read since the last time.
func (r *reading) measure(now time.Time, n int64) {
	if r.since.IsZero() {
		return
	}
	r.read += max(0, n)
	r.worked += now.Sub(r.since)
	r.since = now
	if r.worked < sampleTime {
		return
	}
	rate := float64(r.read) / r.worked.Seconds()
	if rate < r.rate {
		rate = r.rate - (r.rate-rate)/rateDecay
	}
	r.rate, r.read, r.worked = rate, 0, 0
}

// judge takes a reader that stands still for stopped.
func (r *reading) judge(now time.Time) {
	if !r.since.IsZero() && now.Sub(r.moved) >= patience {
		r.stopped = true
	}
}
