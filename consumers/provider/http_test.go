package provider_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"0.5":                           500 * time.Millisecond,
		"-3":                            0,
		"NaN":                           0,
		"1e300":                         24 * time.Hour,
		"soon":                          0,
		"Tue, 01 Sep 2026 08:00:30 GMT": 30 * time.Second,
		"Tue, 01 Sep 2026 07:00:00 GMT": 0,
		"Tue, 01 Sep 2099 08:00:30 GMT": 24 * time.Hour,
	} {
		require.Equal(t, want, provider.RetryAfter(http.Header{"Retry-After": {header}}, now),
			header)
	}
}

func TestResponseError(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]consumers.ErrorClass{
		301: consumers.Temporary, 400: consumers.Permanent, 401: consumers.Temporary,
		403: consumers.Temporary,
		404: consumers.Temporary, 408: consumers.Temporary, 410: consumers.Permanent,
		413: consumers.Permanent,
		422: consumers.Permanent, 425: consumers.Temporary, 429: consumers.Temporary,
		500: consumers.Unsure,
		502: consumers.Unsure, 503: consumers.Temporary, 504: consumers.Unsure,
	} {
		e := provider.ResponseError(&provider.Response{
			Status: status,
			Header: http.Header{"Retry-After": {"3"}},
		}, "", nil)
		require.Equal(t, want, e.Class, status)
		require.Equal(t, 3*time.Second, e.RetryAfter)
	}
}
