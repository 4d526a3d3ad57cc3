package eventlog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
)

// A wrong setting is the usual reason for another topic, and no log needs to be restored then.
func TestARefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for reason, remedy := range map[string]string{
		eventlog.RefusedCut:      "restore the log as it was",
		eventlog.RefusedReplaced: "restore the log as it was",
		eventlog.RefusedOther:    "correct the brokers and the topic in the settings",
	} {
		r := &eventlog.Refusal{Partition: 3, Reason: reason, Expected: "this", Found: "that"}
		require.ErrorContains(t, r, "partition 3 of the log is not the one that was read: expected this, found that")
		require.ErrorContains(t, r, remedy, reason)
		require.ErrorIs(t, r, eventlog.ErrRefused)
	}
}
