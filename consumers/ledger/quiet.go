package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sayAgain is how often River may say the same.
const sayAgain = 10 * time.Second

// quietly returns a logger for River. It keeps notices to itself, warnings excepted, and passes each of those on once in a
// while, with how often it was said: without a database every queue of River's complains several times a second.
func quietly(to *slog.Logger) *slog.Logger {
	return slog.New(quiet{to.Handler(), &said{messages: map[string]*times{}}})
}

type quiet struct {
	slog.Handler
	said *said
}

// said is what has been passed on, by message.
type said struct {
	mu       sync.Mutex
	messages map[string]*times // River's messages are constants: there are a few
}

type times struct {
	last time.Time
	kept int // since then
}

// Enabled implements [slog.Handler].
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	kept, now := q.said.again(r.Message, r.Time)
	if !now {
		return nil
	}
	if kept > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", kept))
	}
	return q.Handler.Handle(ctx, r)
}

// again reports whether a message is to be passed on now, and how many like it were not.
func (s *said) again(message string, at time.Time) (kept int, now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.messages[message]
	if t == nil {
		t = &times{}
		s.messages[message] = t
	}
	if at.Sub(t.last) < sayAgain {
		t.kept++
		return 0, false
	}
	kept, t.last, t.kept = t.kept, at, 0
	return kept, true
}

// WithAttrs implements [slog.Handler].
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.said}
}

// WithGroup implements [slog.Handler].
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name), q.said} }
