package client

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatALogSaysOfItsWritersIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]string{
		`{"id":"1","authsub":"token:x","authjti":"7","data":{"authsub":"y"}}`: `{"data":{"authsub":"y"},"id":"1"}`,
		`{"id":"1","authjti":"7"}`:    `{"id":"1"}`,
		`{"id":"1", "actor":"ada"}`:   `{"id":"1", "actor":"ada"}`,
		`no event but "authsub"`:      `no event but "authsub"`,
		`{"authsub":"1","authsub":2}`: `{"authsub":"1","authsub":2}`,
	} {
		require.Equal(t, want, string(withoutAuthor([]byte(event))))
	}
}
