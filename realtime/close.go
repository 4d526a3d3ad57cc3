package realtime

import (
	"errors"
	"fmt"
)

// Close is the reason for which a connection ends. The code is sent to the client, as the close
// code of a WebSocket where there is one, and its range is the policy: after 3000 to 3499 the
// client reconnects by itself, after 3500 to 3999 it does not, as the same attempt would fail
// again. The ranges and most of the numbers are those of the Centrifuge protocol, whose clients
// rely on them.
type Close struct {
	Code   uint16
	Reason string
}

// Reasons after which a client reconnects.
var (
	CloseNormal       = Close{3000, "connection closed"}
	CloseShutdown     = Close{3001, "shutdown"}
	CloseInternal     = Close{3004, "internal server error"}
	CloseExpired      = Close{3005, "token expired"}
	CloseResync       = Close{3010, "position is no longer served"}
	CloseReconnect    = Close{3011, "reconnect"}
	CloseNoPong       = Close{3012, "no pong"}
	CloseTooManyCalls = Close{3013, "too many requests"}
	CloseFull         = Close{3020, "this node is full"}
	// CloseReplaced ends a session whose client has come back over another connection.
	CloseReplaced = Close{3021, "replaced by a newer connection"}
	CloseTooMany  = Close{3022, "connection limit"}
)

// Reasons after which a client does not reconnect.
var (
	CloseInvalidToken = Close{3500, "invalid token"}
	CloseBadRequest   = Close{3501, "bad request"}
	CloseStale        = Close{3502, "stale"}
	CloseRevoked      = Close{3503, "access revoked"}
	CloseTooManyRooms = Close{3505, "room limit"}
	CloseDenied       = Close{3507, "permission denied"}
)

// Reconnect reports whether a client should reconnect.
func (c Close) Reconnect() bool { return c.Code < 3500 }

// Error implements error: a Close is what ends [Session.Next].
func (c Close) Error() string { return fmt.Sprintf("connection closed: %d %s", c.Code, c.Reason) }

// closes maps the package's errors to the reasons with which they end a connection.
var closes = []struct {
	err    error
	reason Close
}{
	{ErrDenied, CloseDenied},
	{ErrExpired, CloseExpired},
	{ErrDraining, CloseShutdown},
	{ErrFull, CloseFull},
	{ErrTooManySessions, CloseTooMany},
	{ErrTooManyRooms, CloseTooManyRooms},
	{ErrUnrecoverable, CloseResync},
	{ErrRightsUnavailable, CloseReconnect},
	{ErrLogRefused, CloseReconnect},
	{ErrInvalidToken, CloseInvalidToken},
}

// CloseOf returns the reason with which an error ends a connection, [CloseInternal] for unknown
// errors.
func CloseOf(err error) Close {
	if reason, ok := errors.AsType[Close](err); ok {
		return reason
	}
	for _, c := range closes {
		if errors.Is(err, c.err) {
			return c.reason
		}
	}
	return CloseInternal
}
