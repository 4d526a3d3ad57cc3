package twilio

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// Whatever a service responds, a text counts as sent only with an id, and every error says what it
// means for the text.
func FuzzSent(f *testing.F) {
	for _, body := range []string{
		"", "<html>", `{"sid":"SM1","status":"queued","num_segments":1}`, `{"sid":["SM1"]}`,
		`{"code":21211,"message":"no","status":400}`, `{"code":"x","status":true}`, `{"sid":null}`,
	} {
		f.Add(200, []byte(body))
		f.Add(503, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		receipt, err := sent(&provider.Response{Status: status, Body: body})
		if err == nil {
			require.NotEmpty(t, receipt.ProviderID)
			require.True(t, status >= 200 && status <= 299)
			require.GreaterOrEqual(t, receipt.Cost, int64(0))
			return
		}
		var e *consumers.SendError
		require.True(t, errors.As(err, &e))
		require.Contains(t,
			[]consumers.ErrorClass{consumers.Temporary, consumers.Permanent, consumers.Unsure}, e.Class)
		require.NotEmpty(t, e.Code)
	})
}
