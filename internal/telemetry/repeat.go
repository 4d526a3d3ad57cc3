package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// repeatInterval is how long a message counts as a repeat of itself.
	repeatInterval = 30 * time.Second
	// repeatBurst is how many records of one message are written per interval. More than one,
	// because the first of a series often differs from the next in its attributes: another
	// partition, another cause.
	repeatBurst = 5
)

// repeatHandler limits how often the same warning or error is written. Whatever fails in a loop
// logs each failure and needs no state of its own; this handler keeps an outage from filling the
// disk, and says how much it left out.
//
// Two records are repeats of each other when their level and message are equal. Attributes do not
// count: the same failure of a hundred partitions is one failure to the operator. Records below
// warn pass: whoever sets the level to debug or info wants to see all of them.
type repeatHandler struct {
	slog.Handler          // with the attributes and groups of this logger
	series       *repeats // shared by all loggers derived from the root
}

func limitRepeats(next slog.Handler) slog.Handler {
	return repeatHandler{next, &repeats{root: next, windows: map[repeatKey]*repeatWindow{}}}
}

// Handle implements [slog.Handler].
func (h repeatHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && !h.series.admit(ctx, r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h repeatHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return repeatHandler{h.Handler.WithAttrs(attrs), h.series}
}

// WithGroup implements [slog.Handler].
func (h repeatHandler) WithGroup(name string) slog.Handler {
	return repeatHandler{h.Handler.WithGroup(name), h.series}
}

type repeatKey struct {
	level   slog.Level
	message string
}

type repeatWindow struct {
	start time.Time
	count int // records seen since, written or not
}

type repeats struct {
	root slog.Handler

	mu      sync.Mutex
	windows map[repeatKey]*repeatWindow // of the last interval only, so it stays small
}

// admit reports whether a record is to be written. Windows that have ended are closed on the way,
// whichever message they are of. There is no timer: it would write after its program, or its test,
// has ended.
func (s *repeats) admit(ctx context.Context, r slog.Record) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, w := range s.windows {
		if now.Sub(w.start) < repeatInterval {
			continue
		}
		delete(s.windows, key)
		if dropped := w.count - repeatBurst; dropped > 0 {
			summary := slog.NewRecord(now, key.level, key.message, 0)
			summary.AddAttrs(slog.Int("dropped", dropped), slog.Time("since", w.start))
			// the record that follows reports the same fault of the writer
			_ = s.root.Handle(ctx, summary)
		}
	}
	key := repeatKey{r.Level, r.Message}
	w := s.windows[key]
	if w == nil {
		w = &repeatWindow{start: now}
		s.windows[key] = w
	}
	w.count++
	return w.count <= repeatBurst
}
