// Package providertest holds tests that every provider must pass. They run a provider against a
// service of package faulty, which fails in a way that the test chooses and counts what it accepts:
// what the provider reports is compared with what happened. The first change: another fault is a
// value of faulty.Fault, and a line in the table of each provider.
package providertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
)

// Outcome is what a provider must report for one fault of its service.
type Outcome struct {
	Fault faulty.Fault
	Class consumers.ErrorClass // empty when the message counts as sent nevertheless
	Code  string
	Taken int // messages that the service accepts
}

// Attempt is the result of sending one delivery, on both ends of the wire.
type Attempt struct {
	Receipt         consumers.Receipt
	Err             error
	Requests, Taken int // counted by the service
}

// ErrorClasses sends a delivery to a service with each fault. The provider sends one request,
// whatever happens; its error says whether the message may have gone out, and does not contain the
// recipient's address.
func ErrorClasses(t *testing.T, address string, outcomes []Outcome,
	send func(*testing.T, faulty.Fault) Attempt,
) {
	t.Helper()
	for _, want := range outcomes {
		t.Run(string(want.Fault), func(t *testing.T) {
			t.Parallel()
			got := send(t, want.Fault)
			require.Equal(t, 1, got.Requests, "a provider does not retry by itself")
			require.Equal(t, want.Taken, got.Taken)
			if want.Class == "" {
				require.NoError(t, got.Err)
				require.Equal(t, consumers.Sent, got.Receipt.State)
				return
			}
			e := SendError(t, got.Err)
			require.Equal(t, want.Class, e.Class, got.Err)
			require.Equal(t, want.Code, e.Code)
			require.NotContains(t, got.Err.Error(), address, "errors are logged")
		})
	}
}

// SendError returns the error as the type that providers must return.
func SendError(t *testing.T, err error) *consumers.SendError {
	t.Helper()
	var e *consumers.SendError
	require.ErrorAs(t, err, &e)
	return e
}
