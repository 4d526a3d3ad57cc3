package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/projections"
)

// Retryable reports that the same may work later: the database was unreachable or busy, or had to
// choose which transaction to abort.
func Retryable(err error) bool {
	if errors.Is(err, ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code[:2] {
		case "08", // connection
			"25", // transaction ended by the server, or a read-only standby
			"40", // serialization, deadlock
			"53", // no connections, memory or disk left
			"55", // locked
			"57", // statement timeout, shutdown, starting up
			"58": // system
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		connectionLost(err)
}

// connectionLost recognises a connection that ended in the middle.
func connectionLost(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unexpected EOF") || strings.Contains(text, "conn closed") ||
		strings.Contains(text, "connection reset")
}

// classify turns an error of a commit into those that the engine distinguishes.
func classify(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == checkpoint.FencedCode:
		return fmt.Errorf("%w: %s", projections.ErrFenced, pg.Message)
	case pg.Code == checkpoint.ExchangedCode:
		return fmt.Errorf("%w: %s", projections.ErrRebuilt, pg.Message)
	case pg.Code == checkpoint.RefusedCode:
		return fmt.Errorf("%w: %s", eventlog.ErrRefused, pg.Message)
	case strings.HasPrefix(pg.Code, "22"), strings.HasPrefix(pg.Code, "23"),
		strings.HasPrefix(pg.Code, "54"):
		// Data that a type, a constraint or an index rejects: it will again.
		return fmt.Errorf("%w: %w", projections.ErrRejected, err)
	}
	return err
}
