package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	centrifuge "github.com/centrifugal/centrifuge-go"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// audited are the records of a reader as the command prints them, each as thing, channel and
// whether it was refused, with how often.
func (a *app) audited(t *testing.T, school, reader string) map[string]int64 {
	t.Helper()
	code, stdout, stderr := command(t, "audit", "--url", a.HTTP, "--token", a.token,
		"--school", school, "--subject", reader, "--json")
	require.Equal(t, exitDone, code, stderr)
	var all httpapi.Audit
	require.NoError(t, json.Unmarshal([]byte(stdout), &all))
	found := map[string]int64{}
	for _, r := range all.Records {
		line := r.Thing + " " + r.Channel
		if r.Refused {
			line += " refused"
		}
		found[line] += r.Count
	}
	return found
}

// requireAuditOfStrangers connects to another school over each protocol. Each attempt is in the
// audit of the token's own school, and none in that of the other.
func requireAuditOfStrangers(t *testing.T, a *app) {
	t.Helper()
	token := bearer(t, "north", "eve", "admin", time.Hour)
	resp, _ := a.call(t, http.MethodGet, a.HTTP+"/v1/schools/south/stream?rooms=school", "",
		"Authorization", "Bearer "+token)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)

	official := centrifuge.NewJsonClient(
		"ws"+strings.TrimPrefix(a.HTTP, "http")+"/connection/websocket",
		centrifuge.Config{Token: token, Data: []byte(`{"school":"south"}`)})
	t.Cleanup(official.Close)
	ended := make(chan uint32, 10)
	official.OnDisconnected(func(e centrifuge.DisconnectedEvent) { ended <- e.Code })
	require.NoError(t, official.Connect())
	<-ended

	const polling = "/socket.io/?EIO=4&transport=polling"
	send := func(method, session, body string) string {
		resp, b := a.call(t, method, a.HTTP+polling+session, body, "Authorization", "")
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
		return string(b)
	}
	_, rest, _ := strings.Cut(send(http.MethodGet, "", ""), `"sid":"`)
	id, _, _ := strings.Cut(rest, `"`)
	send(http.MethodPost, "&sid="+id, `40{"token":"`+token+`","school":"south"}`)
	require.Contains(t, send(http.MethodGet, "&sid="+id, ""), "44")

	require.Eventually(t, func() bool {
		return a.audited(t, "north", "eve")["connection to another school room joined refused"] == 3
	}, 20*time.Second, 50*time.Millisecond, "%v", a.audited(t, "north", "eve"))
	require.Empty(t, a.audited(t, "south", "eve"))
}
