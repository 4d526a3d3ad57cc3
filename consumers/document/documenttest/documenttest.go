// Package documenttest is the conformance suite of document stores. [Suite] runs against the folder
// of package document and the bucket of internal/s3. The first change: a promise that callers rely
// on becomes a subtest, and then every kind of store has to hold it.
package documenttest

import (
	"bytes"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/document"
)

// Suite shows that blobs can carry a document store.
func Suite(t *testing.T, blobs document.Blobs) {
	store := document.NewStore(blobs)
	t.Run("a stored document is found under its hash", func(t *testing.T) {
		t.Parallel()
		body := []byte("%PDF-1.7 one")
		hash, err := store.Put(t.Context(), body)
		require.NoError(t, err)
		require.Len(t, hash, 64)
		got, err := store.Get(t.Context(), hash)
		require.NoError(t, err)
		require.Equal(t, body, got)
	})
	t.Run("concurrent writers store it once", func(t *testing.T) {
		t.Parallel()
		body := bytes.Repeat([]byte("two "), 100_000)
		var wg sync.WaitGroup
		hashes := make([]string, 8)
		for i := range hashes {
			wg.Go(func() {
				hash, err := store.Put(t.Context(), body)
				if err != nil {
					t.Error(err)
				}
				hashes[i] = hash
			})
		}
		wg.Wait()
		for _, h := range hashes {
			require.Equal(t, hashes[0], h)
		}
		got, err := store.Get(t.Context(), hashes[0])
		require.NoError(t, err)
		require.Equal(t, body, got)
	})
	t.Run("a missing document is reported as missing", func(t *testing.T) {
		t.Parallel()
		for _, hash := range []string{
			strings.Repeat("0", 64), "", "..", "../../../etc/passwd", strings.Repeat("A", 64),
			strings.Repeat("../", 21) + "a",
			"0123456789abcdef\x00" + strings.Repeat("0", 47), strings.Repeat("0", 65),
		} {
			_, err := store.Get(t.Context(), hash)
			require.ErrorIs(t, err, fs.ErrNotExist, hash)
		}
	})
	t.Run("a changed document is not served", func(t *testing.T) {
		t.Parallel()
		hash, err := store.Put(t.Context(), []byte("three"))
		require.NoError(t, err)
		require.NoError(t,
			blobs.Write(t.Context(), "documents/"+hash[:2]+"/"+hash, []byte("forged")))
		_, err = store.Get(t.Context(), hash)
		require.ErrorContains(t, err, "content has changed")
	})
	t.Run("too large a document is refused when written and when read", func(t *testing.T) {
		t.Parallel()
		_, err := store.Put(t.Context(), make([]byte, document.MaxBytes+1))
		require.ErrorIs(t, err, document.ErrTooLarge)
		require.NoError(t, blobs.Write(t.Context(), "documents/large", make([]byte, 101)))
		_, err = blobs.Read(t.Context(), "documents/large", 100)
		require.ErrorContains(t, err, "at most 100 bytes")
		body, err := blobs.Read(t.Context(), "documents/large", 101)
		require.NoError(t, err)
		require.Len(t, body, 101)
	})
}
