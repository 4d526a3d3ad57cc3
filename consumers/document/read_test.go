package document_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/document"
)

// Whoever follows a link is reported before they get the document, and gets none that could not be.
func TestWhoFollowsALinkIsReported(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	dad, gran := mum, mum
	dad.User, gran.User = "dad", "gran"
	hash := s.put("%PDF-1.7 a")
	type read struct {
		by      document.Reader
		refused bool
	}
	var reads []read
	var full error
	h, err := document.NewHandler(document.Config{
		Store: s.store, Links: s.links, Now: func() time.Time { return now },
		Readers: func(context.Context, string) (map[document.Reader]bool, error) {
			return map[document.Reader]bool{mum: true, dad: false}, nil
		},
		Revoked: func(yield func(document.Reader, time.Time) bool) { yield(gran, now) },
		Read: func(of document.Reader, what string, refused bool) error {
			require.Equal(t, hash, what)
			reads = append(reads, read{of, refused})
			return full
		},
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(document.Pattern, h)
	s.handler = mux
	status := func(of document.Reader) int {
		return s.request("GET", s.links.URL(hash, of, now.Add(time.Hour))).StatusCode
	}
	require.Equal(t, http.StatusOK, status(mum))
	require.Equal(t, http.StatusForbidden, status(dad))
	require.Equal(t, http.StatusForbidden, status(gran))
	require.Equal(t, []read{{mum, false}, {dad, true}, {gran, true}}, reads)
	full = errors.New("no room")
	require.Equal(t, http.StatusServiceUnavailable, status(mum))
	require.Equal(t, http.StatusForbidden, status(dad))
}
