package logtest

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// testReader proves [eventlog.Reader] on the log: cursors that open at different times and places get
// every record from there on, once, in order, and agree about duplicates.
func testReader(t *testing.T, h *Harness) {
	const window, sent, distinct = 40, 600, 70
	log := h.Open(t)
	school := schoolIn(h, 1)
	reader := eventlog.NewReader(
		eventlog.ReaderConfig{Source: log, Window: window, Cache: 1 << 10, Decode: readEvent},
	)
	last := map[string]int64{}
	var want []bool
	appendNext := func() {
		text := strconv.Itoa(len(want) * 37 % distinct)
		if len(want)%3 == 0 {
			text = "often-" + strconv.Itoa(len(want)%5)
		}
		offset := mustAppend(t, log, school, record(text)).Offset
		before, seen := last[text]
		want = append(want, seen && offset-before <= window)
		last[text] = offset
	}
	for range sent / 2 {
		appendNext()
	}
	follow := func(from int64, results chan<- []bool) {
		c := reader.Open(1, from)
		defer c.Close()
		var got []bool
		for next := from; next < sent; {
			s, err := c.Next(t.Context())
			if err != nil {
				t.Errorf("cursor from %d at %d: %v", from, next, err)
				break
			}
			for i := range s.Entries {
				e := &s.Entries[i]
				event, err := e.Event()
				if err != nil || event.ID != string(e.Record.Value) || e.Offset() != next+int64(i) {
					t.Errorf("cursor from %d: entry %d is %v: %v", from, e.Offset(), event, err)
				}
				got = append(got, e.Duplicate)
			}
			next = s.Next
		}
		results <- got
	}
	starts := []int64{sent / 2, 0, sent/2 - 10, sent/2 - window, 5, sent / 4}
	results := make([]chan []bool, len(starts))
	for i, from := range starts {
		results[i] = make(chan []bool, 1)
		go follow(from, results[i])
	}
	for range sent / 2 {
		appendNext()
	}
	for i, from := range starts {
		select {
		case got := <-results[i]:
			require.Equal(t, want[from:], got, "cursor from %d", from)
		case <-time.After(Patience):
			t.Fatalf("the cursor from %d did not reach the end", from)
		}
	}
}

// testReaderOutage lets the log go away and come back under a cursor.
func testReaderOutage(t *testing.T, h *Harness) {
	log := h.Open(t)
	school := schoolIn(h, 2)
	reader := eventlog.NewReader(eventlog.ReaderConfig{Source: log, Decode: readEvent})
	mustAppend(t, log, school, record("before"))
	c := reader.Open(2, 0)
	defer c.Close()
	s, err := c.Next(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Entries, 1)

	h.Stop(t)
	next := make(chan string, 1)
	go func() {
		s, err := c.Next(t.Context())
		if err != nil || len(s.Entries) == 0 {
			t.Errorf("after the outage: %v", err)
			next <- ""
			return
		}
		next <- string(s.Entries[0].Record.Value)
	}()
	eventually(t, "the cursor has a fault", func() bool { return c.Fault() != nil })
	h.Start(t)
	mustAppend(t, log, school, record("after"))
	require.Equal(t, "after", <-next)
	require.NoError(t, c.Fault())
}

func readEvent(r eventlog.Record) (*domain.Envelope, error) {
	return &domain.Envelope{School: string(r.Key), ID: r.Header(eventlog.HeaderID)}, nil
}
