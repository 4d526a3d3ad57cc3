// Package document stores documents under the hash of their bytes and serves them to whoever has a
// signed link.
//   - What is in the store is whole and never changes.
//   - A name cannot lead out of the store.
//   - Nobody reads a document without a link that was signed here and has not expired.
//
// A [Store] puts hashes and limits in front of [Blobs]: a directory ([Dir]) or an S3-compatible
// service (package internal/s3). [Links] signs and checks; [NewHandler] serves.
//
// The first change: another place for blobs implements [Blobs] and passes documenttest.Suite.
package document

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// MaxBytes is the size limit of a document.
const MaxBytes = 10 << 20

// Blobs stores bytes under names, which consist of letters, digits and slashes.
type Blobs interface {
	// Write stores bytes under a name, whole or not at all, and returns when they are durable.
	// Writing the same bytes again is harmless.
	Write(ctx context.Context, name string, body []byte) error
	// Read returns the bytes under a name, or [fs.ErrNotExist]. More than maxBytes is an error.
	Read(ctx context.Context, name string, maxBytes int64) ([]byte, error)
}

// Store stores documents by content: equal documents share one blob, and a retry writes the same
// one.
type Store struct{ blobs Blobs }

// NewStore returns a store on blobs.
func NewStore(blobs Blobs) *Store { return &Store{blobs} }

// ErrTooLarge reports a document larger than [MaxBytes].
var ErrTooLarge = errors.New("document is too large")

// Put stores a document and returns its hash: 64 hexadecimal digits in lower case.
func (s *Store) Put(ctx context.Context, body []byte) (string, error) {
	if len(body) > MaxBytes {
		return "", fmt.Errorf("%w: %d bytes, limit is %d", ErrTooLarge, len(body), MaxBytes)
	}
	hash := hashOf(body)
	if err := s.blobs.Write(ctx, name(hash), body); err != nil {
		return "", fmt.Errorf("store document %s: %w", hash, err)
	}
	return hash, nil
}

// Get returns a document. The error is [fs.ErrNotExist] when there is none with this hash, or when
// it cannot be a hash. The hash is computed again: a blob that was changed on disk is an error,
// never served.
func (s *Store) Get(ctx context.Context, hash string) ([]byte, error) {
	if !isHash(hash) {
		return nil, fmt.Errorf("document %.80q: %w", hash, fs.ErrNotExist)
	}
	body, err := s.blobs.Read(ctx, name(hash), MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("read document %s: %w", hash, err)
	}
	if got := hashOf(body); got != hash {
		return nil, fmt.Errorf("read document %s: content has changed, its hash is %s", hash, got)
	}
	return body, nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func isHash(s string) bool {
	if len(s) != sha256.Size*2 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// name spreads documents over 256 directories.
func name(hash string) string { return "documents/" + hash[:2] + "/" + hash }
