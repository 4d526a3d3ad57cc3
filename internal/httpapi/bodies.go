package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// minBody is what the smallest body counts for: parsing it costs memory too.
	minBody = 64 << 10
	// bodyShares is the number of schools that the memory for bodies is enough for when each of
	// them takes as much as it may.
	bodyShares = 8
	// bodyGrace is how long a body may take before its rate counts, and bodyRate the bytes per
	// second that it must have then. A slower one takes memory for longer than it is worth.
	bodyGrace = 2 * time.Second
	bodyRate  = 16 << 10
	// bodyLimit is how long a body may take to arrive in any case. It is longer than the server's
	// usual limit: a producer on a bad line sends megabytes.
	bodyLimit = 30 * time.Second
)

// bodies bounds the memory that bodies of requests take, in total and for each school, so that no
// school can keep the others from sending.
type bodies struct {
	total, share int64

	mu      sync.Mutex
	used    int64
	schools map[string]int64
}

// newBodies divides a number of bytes. The share is never less than one body.
func newBodies(total, largest int64) *bodies {
	return &bodies{
		total: total, share: max(largest, total/bodyShares),
		schools: map[string]int64{},
	}
}

// claim is the memory of one body. It grows with what has arrived: what a header announces costs
// its sender nothing.
type claim struct {
	of     *bodies
	school string
	bytes  int64
}

func (b *bodies) claim(school string) (*claim, error) {
	c := &claim{of: b, school: school}
	return c, c.upTo(minBody)
}

// upTo grows the claim, or refuses at once: under overload a fast refusal lets producers back off,
// where a queue would only grow until memory is gone.
func (c *claim) upTo(bytes int64) error {
	more := bytes - c.bytes
	if more <= 0 {
		return nil
	}
	b := c.of
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.schools[c.school]+more > b.share:
		return tooMany(time.Second, "this school has as many events being processed as one "+
			"school may; none of these were taken")
	case b.used+more > b.total:
		return unavailable(nil, time.Second,
			"too many events are being processed; none of these were taken")
	}
	b.used += more
	b.schools[c.school] += more
	c.bytes = bytes
	return nil
}

func (c *claim) release() {
	b := c.of
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= c.bytes
	if b.schools[c.school] -= c.bytes; b.schools[c.school] == 0 {
		delete(b.schools, c.school)
	}
	c.bytes = 0
}

// readAll reads a body that has at most limit bytes, as a whole.
func (c *claim) readAll(in io.Reader, announced, limit int64) ([]byte, error) {
	// One byte more than announced finds the end without growing.
	size := max(512, min(announced+1, minBody))
	b := make([]byte, 0, size)
	for {
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, &http.MaxBytesError{Limit: limit}
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, bodyError(err)
		}
		if len(b) < cap(b) {
			continue
		}
		size = min(2*size, limit+1)
		if err := c.upTo(min(size, limit)); err != nil {
			return nil, err
		}
		b = append(make([]byte, 0, size), b...)
	}
}

// paced reads a body that must arrive at the least rate.
type paced struct {
	io.Reader
	conn     *http.ResponseController
	began    time.Time
	received int64
}

func (p *paced) Read(b []byte) (int, error) {
	allowed := bodyGrace + time.Duration(p.received)*time.Second/bodyRate
	// not supported by recorders of tests
	_ = p.conn.SetReadDeadline(p.began.Add(min(allowed, bodyLimit)))
	n, err := p.Reader.Read(b)
	p.received += int64(n)
	return n, err
}

// end is called with the outcome. After a whole body the limit is lifted: net/http goes on reading,
// to find out that a client is gone, and would take a client that is silent for one. Of a body that
// is refused, net/http reads the rest before it sends our response, and must not wait for it.
func (p *paced) end(err error) {
	if err != nil {
		_ = p.conn.SetReadDeadline(time.Now().Add(bodyGrace))
		return
	}
	_ = p.conn.SetReadDeadline(time.Time{})
}

func bodyError(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return err
	}
	p := problem(http.StatusBadRequest, "the body could not be read to its end")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p = problem(http.StatusRequestTimeout,
			"the body arrived more slowly than %d KiB a second", bodyRate>>10)
	}
	p.cause = err
	return p
}
