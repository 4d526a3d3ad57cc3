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

// Links signs links to documents and checks them. A link works without a token until it expires: it
// is read by a parent's browser, which has none.
type Links struct {
	base string
	keys [][]byte
}

// MinKey is the length in bytes that a key must have.
const MinKey = 32

// LinkValid is how long the links in messages work: long enough for a family to come back to a
// message, short enough that a forwarded one does not open a document for years.
const LinkValid = 30 * 24 * time.Hour

// NewLinks returns links that begin with base, for example "https://school.example". The first key
// signs; links signed with one of the others are valid too, so that a key can be replaced without
// breaking messages that were sent.
func NewLinks(base string, keys ...[]byte) (*Links, error) {
	var faults []error
	if u, err := url.Parse(base); err != nil || (base != "" && u.Host == "") || u.RawQuery != "" ||
		u.Fragment != "" {
		faults = append(faults, fmt.Errorf("document links: %q is not a base URL", base))
	}
	if len(keys) == 0 {
		faults = append(faults, errors.New("document links: a key is required"))
	}
	for i, k := range keys {
		if len(k) < MinKey {
			faults = append(faults,
				fmt.Errorf("document links: key %d has %d bytes, want %d or more", i+1, len(k),
					MinKey))
		}
	}
	return &Links{strings.TrimSuffix(base, "/"), keys}, errors.Join(faults...)
}

// URL returns a signed link to a document.
func (l *Links) URL(hash string, expires time.Time) string {
	at := strconv.FormatInt(expires.Unix(), 10)
	signature := base64.RawURLEncoding.EncodeToString(sign(l.keys[0], hash, at))
	return l.base + "/documents/" + hash + "?expires=" + at + "&signature=" + signature
}

// Reasons why a link is refused.
var (
	ErrSignature = errors.New("the link is invalid or has been changed")
	ErrExpired   = errors.New("the link has expired")
)

// Check returns when a link expires. The error is [ErrSignature] or [ErrExpired]. The signature
// comes first: for a forged link nothing is said about its time. All keys are compared in constant
// time, so that timing does not reveal which one signed.
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

// sign computes the signature. The prefix keeps a key that is also used elsewhere from signing
// documents by accident.
func sign(key []byte, hash, expires string) []byte {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "schoolbell document\n%s\n%s", hash, expires)
	return m.Sum(nil)
}
