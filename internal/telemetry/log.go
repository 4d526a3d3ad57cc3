package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// LogConfig says how to write the log.
type LogConfig struct {
	Format string     // text or json; empty means text
	Level  slog.Level // the least important level that is written
}

// Validate reports what is wrong.
func (c LogConfig) Validate() error {
	switch c.Format {
	case "", "text", "json":
		return nil
	}
	return fmt.Errorf("log format %q is not text or json", c.Format)
}

// NewLogger returns a logger that writes lines to w.
func NewLogger(w io.Writer, c LogConfig) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: singleLineErrors}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// singleLineErrors writes joined errors on one line.
func singleLineErrors(_ []string, a slog.Attr) slog.Attr {
	err, ok := a.Value.Any().(error)
	if !ok {
		return a
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return slog.String(a.Key, oneLine(err.Error()))
	}
	return a
}

func oneLine(s string) string {
	b := make([]byte, 0, len(s))
	for _, c := range []byte(s) {
		if c == '\n' {
			b = append(b, "; "...)
			continue
		}
		b = append(b, c)
	}
	return string(b)
}
