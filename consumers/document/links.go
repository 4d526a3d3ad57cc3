package document

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Links makes links to documents that can be followed without a token until they expire, and checks them.
type Links struct {
	base string
	keys [][]byte
}

// MinKey is the length in bytes that a key must have.
const MinKey = 32

// LinkValid is how long the links in messages work: long enough for a family to come back to a
// message, short enough that a forwarded one does not open a document for years.
const LinkValid = 30 * 24 * time.Hour

// NewLinks returns links that begin with base, as "https://school.example". They are signed with the first key; those
// that were signed with another one hold too, so that a key can be replaced.
func NewLinks(base string, keys ...[]byte) (*Links, error) {
	var faults []error
	if u, err := url.Parse(base); err != nil || (base != "" && u.Host == "") || u.RawQuery != "" || u.Fragment != "" {
		faults = append(faults, fmt.Errorf("links to documents: %q is not the beginning of a URL", base))
	}
	if len(keys) == 0 {
		faults = append(faults, errors.New("links to documents: a key is required"))
	}
	for i, k := range keys {
		if len(k) < MinKey {
			faults = append(faults, fmt.Errorf("links to documents: key %d has %d bytes, want %d or more", i+1, len(k), MinKey))
		}
	}
	return &Links{strings.TrimSuffix(base, "/"), keys}, errors.Join(faults...)
}

// URL returns a link to a document.
func (l *Links) URL(hash string, expires time.Time) string {
	at := strconv.FormatInt(expires.Unix(), 10)
	signature := base64.RawURLEncoding.EncodeToString(sign(l.keys[0], hash, at))
	return l.base + "/documents/" + hash + "?expires=" + at + "&signature=" + signature
}

// Why a link does not hold.
var (
	ErrSignature = errors.New("the link was not made here, or has been changed")
	ErrExpired   = errors.New("the link has expired")
)

// Check returns when a link expires. Nothing is said about links that were not made here, not even that they would have
// expired.
func (l *Links) Check(hash, expires, signature string, now time.Time) (time.Time, error) {
	got, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil {
		return time.Time{}, ErrSignature
	}
	valid := false
	for _, key := range l.keys {
		valid = hmac.Equal(got, sign(key, hash, expires)) || valid
	}
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if !valid || err != nil {
		return time.Time{}, ErrSignature
	}
	until := time.Unix(seconds, 0)
	if !now.Before(until) {
		return until, ErrExpired
	}
	return until, nil
}

func sign(key []byte, hash, expires string) []byte {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "schoolbell document\n%s\n%s", hash, expires)
	return m.Sum(nil)
}
