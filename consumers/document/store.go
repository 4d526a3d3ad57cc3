// Package document keeps documents under the hash of their bytes and hands them out to whoever holds a signed link.
//
// What it promises: what is in the store never changes and is whole; a name cannot lead outside of it; and nobody
// reads a document without a link that this system has signed and that has not expired.
//
// A [Store] puts hashes and limits in front of [Blobs]: a folder ([Dir]) or an S3-compatible service (package
// internal/s3). [Links] signs and checks; [NewHandler] serves.
package document

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// MaxBytes is how large a document may be.
const MaxBytes = 10 << 20

// Blobs keep bytes under names, which are letters, digits and slashes.
type Blobs interface {
	// Write keeps bytes under a name, whole or not at all, and returns when they are safe. Writing them again is harmless.
	Write(ctx context.Context, name string, body []byte) error
	// Read returns what is kept under a name, or [fs.ErrNotExist]. More than most bytes are an error.
	Read(ctx context.Context, name string, maxBytes int64) ([]byte, error)
}

// Store keeps documents.
type Store struct{ blobs Blobs }

// NewStore returns a store of documents on blobs.
func NewStore(blobs Blobs) *Store { return &Store{blobs} }

// ErrTooLarge says that a document is larger than [MaxBytes].
var ErrTooLarge = errors.New("document is too large")

// Put keeps a document and returns its hash: 64 hexadecimal digits in lower case.
func (s *Store) Put(ctx context.Context, body []byte) (string, error) {
	if len(body) > MaxBytes {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), MaxBytes)
	}
	hash := hashOf(body)
	if err := s.blobs.Write(ctx, name(hash), body); err != nil {
		return "", fmt.Errorf("keep document %s: %w", hash, err)
	}
	return hash, nil
}

// Get returns a document. The error is [fs.ErrNotExist] when there is none of this hash, or when it cannot be a hash.
func (s *Store) Get(ctx context.Context, hash string) ([]byte, error) {
	if !isHash(hash) {
		return nil, fmt.Errorf("document %.80q: %w", hash, fs.ErrNotExist)
	}
	body, err := s.blobs.Read(ctx, name(hash), MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("read document %s: %w", hash, err)
	}
	if got := hashOf(body); got != hash {
		return nil, fmt.Errorf("read document %s: its hash is %s by now", hash, got)
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

// name spreads documents over 256 folders.
func name(hash string) string { return "documents/" + hash[:2] + "/" + hash }
