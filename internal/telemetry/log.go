package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LogConfig is how to write the log.
type LogConfig struct {
	Format string     // text or json; empty is text
	Level  slog.Level // the lowest level that is written
}

// Validate reports an unknown format.
func (c LogConfig) Validate() error {
	switch c.Format {
	case "", "text", "json":
		return nil
	}
	return fmt.Errorf("log format %q is not text or json", c.Format)
}

// NewLogger returns the program's root logger, which writes lines to w. A warning or an error that
// keeps repeating is written a few times per half minute, then counted; so a loop may log each of
// its failures.
func NewLogger(w io.Writer, c LogConfig) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: singleLineErrors}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if c.Format == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	return slog.New(limitRepeats(h))
}

// singleLineErrors writes joined errors on one line: [errors.Join] puts each on its own, which
// breaks grep.
func singleLineErrors(_ []string, a slog.Attr) slog.Attr {
	err, ok := a.Value.Any().(error)
	if !ok {
		return a
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return slog.String(a.Key, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return a
}
