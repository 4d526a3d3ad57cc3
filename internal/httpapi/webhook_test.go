package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// The handshake of CloudEvents' webhooks, with the header names as they are written there.
func TestAWebhookIsAgreedToWithAllowedOrigins(t *testing.T) {
	t.Parallel()
	s := logOnly(t, func(c *httpapi.Config, _ *httpapi.Deps) {
		c.WebhookOrigins, c.EventRate = []string{"eventgrid.azure.net"}, 10
	})
	const path = "/v1/schools/north/events"
	for name, test := range map[string]struct {
		headers               []string
		status                int
		allowedOrigin, atMost string
	}{
		"allowed": {
			[]string{"WebHook-Request-Origin", "eventgrid.azure.net"},
			204,
			"eventgrid.azure.net", "",
		},
		"names of hosts have no case": {
			[]string{"WebHook-Request-Origin", "EventGrid.azure.net"},
			204,
			"EventGrid.azure.net", "",
		},
		"a rate that is granted": {[]string{
			"WebHook-Request-Origin", "eventgrid.azure.net",
			"WebHook-Request-Rate", "120",
		}, 204, "eventgrid.azure.net", "120"},
		"a rate that is too high": {[]string{
			"WebHook-Request-Origin", "eventgrid.azure.net",
			"WebHook-Request-Rate", "6000",
		}, 204, "eventgrid.azure.net", "600"},
		"any rate": {[]string{
			"WebHook-Request-Origin", "eventgrid.azure.net",
			"WebHook-Request-Rate", "*",
		}, 204, "eventgrid.azure.net", "600"},
		"a stranger":               {[]string{"WebHook-Request-Origin", "spam.example"}, 403, "", ""},
		"which methods are there?": {nil, 204, "", ""},
	} {
		r := s.do(http.MethodOptions, path, "", "", test.headers...)
		require.Equal(t, test.status, r.StatusCode, name)
		require.Equal(t, test.allowedOrigin, r.Header.Get("WebHook-Allowed-Origin"), name)
		require.Equal(t, test.atMost, r.Header.Get("WebHook-Allowed-Rate"), name)
		require.Contains(t, r.Header.Get("Allow"), http.MethodPost, name)
	}
	require.Equal(t, http.StatusUnauthorized,
		s.do(http.MethodPost, path, "", marked("a", "s", "late")).StatusCode,
		"an agreement is not a token")
	none := logOnly(t)
	require.Equal(t, http.StatusForbidden, none.do(http.MethodOptions, path, "", "",
		"WebHook-Request-Origin", "eventgrid.azure.net").StatusCode)
	require.Error(t, httpapi.Config{WebhookOrigins: []string{"https://a.example"}}.Validate())
}
