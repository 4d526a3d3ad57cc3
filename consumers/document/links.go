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
		faults = append(faults, errors.New("document links: the base is not a URL without query"))
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

// Reader is whom a link is for: the subject of tokens at a school.
type Reader struct{ School, User string }

// URL returns a signed link to a document. It ends with the reader's access, see [Link.IsOf].
func (l *Links) URL(hash string, reader Reader, expires time.Time) string {
	return l.url(hash, reader.tag(l.keys[0]), expires)
}

func (l *Links) url(hash, reader string, expires time.Time) string {
	at := strconv.FormatInt(expires.Unix(), 10)
	signature := base64.RawURLEncoding.EncodeToString(sign(l.keys[0], hash, at, reader))
	return l.base + "/documents/" + hash + "?expires=" + at + "&reader=" + reader +
		"&signature=" + signature
}

// Reasons why a link is refused.
var (
	ErrSignature = errors.New("the link is invalid or has been changed")
	ErrExpired   = errors.New("the link has expired")
	ErrRevoked   = errors.New("the link is no longer valid: its reader's access has been revoked")
)

// Link is a link whose signature is valid.
type Link struct {
	Expires time.Time
	reader  string  // empty in links of v0.1
	staff   *Reader // nil: it has a tag for a reader
	key     []byte  // that signed it
}

// Made is when the link was made.
func (l *Link) Made() time.Time {
	if l.staff != nil {
		return l.Expires.Add(-StaffLinkValid)
	}
	return l.Expires.Add(-LinkValid)
}

// IsOf reports whether the link was made for a reader. Links of v0.1 were made for nobody in
// particular.
func (l *Link) IsOf(reader Reader) bool {
	if l.staff != nil {
		return *l.staff == reader
	}
	return l.reader == reader.tag(l.key)
}

// Check returns a link by its hash and its parameters. The error is [ErrSignature] or [ErrExpired].
// The signature comes first: for a forged link nothing is said about its time. All keys are
// compared in constant time, so that timing does not reveal which one signed.
func (l *Links) Check(hash string, query url.Values, now time.Time) (*Link, error) {
	got, err := base64.RawURLEncoding.Strict().DecodeString(query.Get("signature"))
	if err != nil {
		return nil, ErrSignature
	}
	link := &Link{reader: query.Get("reader")}
	for _, key := range l.keys {
		if hmac.Equal(got, sign(key, hash, query.Get("expires"), link.reader)) {
			link.key = key
		}
	}
	seconds, err := strconv.ParseInt(query.Get("expires"), 10, 64)
	if link.key == nil || err != nil {
		return nil, ErrSignature
	}
	link.Expires, link.staff = time.Unix(seconds, 0), link.ofStaff()
	if !now.Before(link.Expires) {
		return nil, ErrExpired
	}
	return link, nil
}

// sign computes the signature. The prefix keeps a key that is also used elsewhere from signing
// documents by accident, and a link of v0.1 from being one with a reader.
func sign(key []byte, hash, expires, reader string) []byte {
	m := hmac.New(sha256.New, key)
	if reader == "" {
		fmt.Fprintf(m, "schoolbell document\n%s\n%s", hash, expires)
	} else {
		fmt.Fprintf(m, "schoolbell document for a reader\n%s\n%s\n%s", hash, expires, reader)
	}
	return m.Sum(nil)
}

// tagBytes is the length of tags: readers need to be told apart, and not to be kept from forging
// tags, since those are signed.
const tagBytes = 9

// tag stands for a reader in a link. It is short, as links are in text messages, and says nothing
// about the reader to those who read the logs of proxies.
func (r Reader) tag(key []byte) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "schoolbell reader\n%q\n%q", r.School, r.User)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:tagBytes])
}
