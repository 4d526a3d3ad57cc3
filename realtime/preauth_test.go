package realtime_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime"
)

func TestPreAuthLimits(t *testing.T) {
	t.Parallel()
	l := &realtime.PreAuth{PerAddress: 2, Max: 4}
	enter := func(from string) func() {
		leave, err := l.Enter(&http.Request{RemoteAddr: from})
		if err != nil {
			require.ErrorIs(t, err, realtime.ErrPreAuthFull)
			require.Equal(t, http.StatusTooManyRequests, realtime.StatusOf(err))
			return nil
		}
		return leave
	}
	leave := enter("192.0.2.1:1000")
	require.NotNil(t, leave)
	require.NotNil(t, enter("[::ffff:192.0.2.1]:2000"), "the same address")
	require.Nil(t, enter("192.0.2.1:3000"))
	require.NotNil(t, enter("[2001:db8::1]:1"))
	require.NotNil(t, enter("[2001:db8::2]:1"), "the same network")
	require.Nil(t, enter("[2001:db8::3]:1"))
	require.Nil(t, enter("192.0.2.2:1"), "there are as many as may be altogether")
	leave()
	leave() // once counts
	require.NotNil(t, enter("192.0.2.2:1"))
	require.Nil(t, enter("192.0.2.2:2"))
}
