package document_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/document/documenttest"
)

func TestDirStoresDocuments(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	dir, err := document.OpenDir(folder)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	documenttest.Suite(t, dir)
	t.Cleanup(func() {
		require.NoError(t,
			filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
				require.NotContains(t, filepath.Base(path), ".", "a temporary file is left")
				return err
			}))
	})
}

func TestDirIsConfined(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "secret"), []byte("secret"), 0o600))
	dir, err := document.OpenDir(filepath.Join(folder, "documents"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	require.NoError(t, os.Symlink(filepath.Join(folder, "secret"),
		filepath.Join(folder, "documents", "link")))
	for _, name := range []string{
		"../secret", filepath.Join(folder, "secret"), "a/../../secret",
		"link", ".",
	} {
		_, err := dir.Read(t.Context(), name, 100)
		require.Error(t, err, name)
		if name != "link" && name != "." {
			require.Error(t, dir.Write(t.Context(), name+"2", []byte("x")), name)
		}
	}
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 2)
}

var (
	now = time.Date(2026, 12, 18, 12, 0, 0, 0, time.UTC)
	key = []byte("0123456789abcdef0123456789abcdef")
	mum = document.Reader{School: "oak", User: "mum"}
)

type site struct {
	t       *testing.T
	store   *document.Store
	links   *document.Links
	name    string // the title of every document
	revoked map[document.Reader]time.Time
	handler http.Handler
}

func newSite(t *testing.T, blobs document.Blobs) *site {
	s := &site{t: t, store: document.NewStore(blobs), revoked: map[document.Reader]time.Time{}}
	var err error
	s.links, err = document.NewLinks("https://school.example/", key)
	require.NoError(t, err)
	h, err := document.NewHandler(document.Config{
		Store: s.store, Links: s.links,
		Now: func() time.Time { return now }, Title: func([]byte) string { return s.name },
		Revoked: maps.All(s.revoked),
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(document.Pattern, h)
	s.handler = mux
	return s
}

func (s *site) put(body string) (hash string) {
	s.t.Helper()
	hash, err := s.store.Put(s.t.Context(), []byte(body))
	require.NoError(s.t, err)
	return hash
}

func (s *site) request(method, link string, header ...string) *http.Response {
	r := httptest.NewRequest(method, link, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

func folder(t *testing.T) *document.Dir {
	dir, err := document.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	return dir
}

func TestDocumentsAreServedThroughALink(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	const text = "%PDF-1.7\nsome document"
	hash := s.put(text)
	link := s.links.URL(hash, mum, now.Add(time.Hour))
	require.True(t, strings.HasPrefix(link, "https://school.example/documents/"+hash+
		"?expires="), link)

	response := s.request("GET", link)
	require.Equal(t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, text, string(body))
	require.Equal(t, "application/pdf", response.Header.Get("Content-Type"))
	require.Equal(t, "private, immutable, max-age=3600", response.Header.Get("Cache-Control"))
	require.Equal(t, `"`+hash+`"`, response.Header.Get("ETag"))
	require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	require.Equal(t, `inline; filename="`+hash[:12]+`.pdf"`,
		response.Header.Get("Content-Disposition"))

	require.Equal(t, http.StatusNotModified,
		s.request("GET", link, "If-None-Match", `"`+hash+`"`).StatusCode)
	part := s.request("GET", link, "Range", "bytes=1-3")
	require.Equal(t, http.StatusPartialContent, part.StatusCode)
	body, err = io.ReadAll(part.Body)
	require.NoError(t, err)
	require.Equal(t, "PDF", string(body))
	require.Equal(t, fmt.Sprintf("bytes 1-3/%d", len(text)), part.Header.Get("Content-Range"))
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable,
		s.request("GET", link, "Range", "bytes=99-").StatusCode)
	require.Equal(t, int64(len(text)), s.request("HEAD", link).ContentLength)
	require.Equal(t, http.StatusMethodNotAllowed, s.request("DELETE", link).StatusCode)
}

func TestWhatABrowserCouldRunIsAnAttachment(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	response := s.request("GET",
		s.links.URL(s.put("<script>alert(1)</script>"), mum, now.Add(time.Hour)))
	require.Equal(t, "application/octet-stream", response.Header.Get("Content-Type"))
	require.Equal(t, "attachment", response.Header.Get("Content-Disposition"))
}

func TestDocumentsAreSavedUnderTheirTitle(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Receipt - Ada King":        `inline; filename="Receipt - Ada King.pdf"`,
		"Reçu – Zoë/محمد":           `inline; filename="HASH.pdf"; filename*=UTF-8''Re%C3%A7u%20%E2%80%93%20Zo%C3%AB-%D9%85%D8%AD%D9%85%D8%AF.pdf`,
		"../../etc/passwd\r\nX: \"": `inline; filename="..-..-etc-passwdX- -.pdf"`,
		"\u202e":                    `inline; filename="HASH.pdf"`,
	} {
		s := newSite(t, folder(t))
		s.name = name
		hash := s.put("%PDF-1.7 " + name)
		got := s.request("GET",
			s.links.URL(hash, mum, now.Add(time.Hour))).Header.Get("Content-Disposition")
		require.Equal(t, strings.ReplaceAll(want, "HASH", hash[:12]), got)
		_, _, err := mime.ParseMediaType(got)
		require.NoError(t, err)
	}
}

// A reader sees why a link is refused, in a language that the browser asks for.
func TestBrowsersShowWhyALinkIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	hash := s.put("%PDF-1.7 a")
	expired, valid := s.links.URL(hash, mum, now), s.links.URL(hash, mum, now.Add(time.Hour))
	for _, c := range []struct {
		link, languages string
		status          int
		says            string
	}{
		{expired, "", http.StatusGone, `<html lang="en" dir="ltr">`},
		{expired, "de, fr-CM;q=0.8", http.StatusGone, "Ce lien a expiré"},
		{valid + "x", "ar-MA", http.StatusForbidden, `<html lang="ar" dir="rtl">`},
		{valid + "x", "!!", http.StatusForbidden, "This link does not work"},
		{
			s.links.URL(strings.Repeat("0", 64), mum, now.Add(time.Hour)), "pt-BR", http.StatusNotFound,
			"Este documento já não existe",
		},
	} {
		response := s.request("GET", c.link, "Accept", "text/html,*/*;q=0.8", "Accept-Language",
			c.languages)
		require.Equal(t, c.status, response.StatusCode)
		require.Equal(t, "text/html; charset=utf-8", response.Header.Get("Content-Type"))
		require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), c.says)
		require.NotContains(t, string(body), hash)
	}
	response := s.request("GET", expired)
	require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"),
		"a program gets a problem document")
}

func TestP10_NobodyReadsADocumentWithoutALink(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	hash, other := s.put("%PDF-1.7 a"), s.put("%PDF-1.7 b")
	link := s.links.URL(hash, mum, now.Add(time.Hour))
	stranger, err := document.NewLinks("https://school.example",
		[]byte("another key, as long as it has to be"))
	require.NoError(t, err)
	for what, forged := range map[string]string{
		"no signature":         "https://school.example/documents/" + hash,
		"of another document":  strings.Replace(link, hash, other, 1),
		"later":                strings.Replace(link, "expires=", "expires=9", 1),
		"another spelling":     strings.Replace(link, "expires=", "expires=0", 1),
		"cut":                  link[:len(link)-1],
		"longer":               link + "A",
		"of another reader":    strings.Replace(link, "reader=", "reader=A", 1),
		"of nobody":            regexp.MustCompile(`&reader=[^&]*`).ReplaceAllString(link, ""),
		"another key":          stranger.URL(hash, mum, now.Add(time.Hour)),
		"expired, another key": stranger.URL(hash, mum, now.Add(-time.Hour)),
		"traversal": "https://school.example/documents/" +
			url.PathEscape("../../secret") + link[strings.Index(link, "?"):],
	} {
		require.Equal(t, http.StatusForbidden, s.request("GET", forged).StatusCode, what)
	}
	require.Equal(t, http.StatusGone, s.request("GET", s.links.URL(hash, mum, now)).StatusCode)
	require.Equal(t, http.StatusGone,
		s.request("GET", s.links.URL(hash, mum, now.Add(-time.Hour))).StatusCode)
	require.Equal(t, http.StatusNotFound,
		s.request("GET", s.links.URL(strings.Repeat("0", 64), mum, now.Add(time.Hour))).StatusCode)
	require.Equal(t, "no-store",
		s.request("GET", s.links.URL(hash, mum, now)).Header.Get("Cache-Control"))
}

func TestP10_LinksEndWithTheirReadersAccess(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	hash := s.put("%PDF-1.7 a")
	status := func(link string) int { return s.request("GET", link).StatusCode }
	made := func(by document.Reader, at time.Time) string {
		return s.links.URL(hash, by, at.Add(document.LinkValid))
	}
	before, after := made(mum, now.Add(-time.Hour)), made(mum, now.Add(time.Minute))
	dad, elsewhere := mum, mum
	dad.User, elsewhere.School = "dad", "elm"
	require.Equal(t, http.StatusOK, status(before))
	s.revoked[mum] = now
	require.Equal(t, http.StatusForbidden, status(before))
	require.Equal(t, http.StatusOK, status(after), "it was made afterwards")
	require.Equal(t, http.StatusOK, status(made(dad, now.Add(-time.Hour))))
	require.Equal(t, http.StatusOK, status(made(elsewhere, now.Add(-time.Hour))))

	old, err := document.NewLinks("https://school.example", key)
	require.NoError(t, err)
	s.links, err = document.NewLinks("https://school.example",
		[]byte("the new key, as long as it has to be"), key)
	require.NoError(t, err)
	h, err := document.NewHandler(document.Config{
		Store: s.store, Links: s.links, Now: func() time.Time { return now },
		Revoked: maps.All(s.revoked),
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(document.Pattern, h)
	s.handler = mux
	require.Equal(t, http.StatusForbidden,
		status(old.URL(hash, mum, now.Add(time.Hour))), "it was signed with the old key")
	require.NotContains(t, before, "mum", "links are in the logs of proxies")
}

func TestP10_LinksEndWithTheRightsOfTheirReaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	dad, elsewhere := mum, mum
	dad.User, elsewhere.School = "dad", "elm"
	hash := s.put("%PDF-1.7 a")
	readers, failure := map[document.Reader]bool{mum: true, dad: false}, error(nil)
	h, err := document.NewHandler(document.Config{
		Store: s.store, Links: s.links, Now: func() time.Time { return now },
		Readers: func(_ context.Context, of string) (map[document.Reader]bool, error) {
			require.Equal(t, hash, of)
			return readers, failure
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
	require.Equal(t, http.StatusForbidden, status(dad), "may not read it any more")
	require.Equal(t, http.StatusForbidden, status(elsewhere), "was never sent it")
	readers[mum] = false
	require.Equal(t, http.StatusForbidden, status(mum))
	failure = errors.New("no database")
	require.Equal(t, http.StatusServiceUnavailable, status(mum))
	readers, failure = nil, nil
	require.Equal(t, http.StatusOK, status(mum), "the document is of no message")
}

// Links of v0.1 are in messages that have been sent.
func TestLinksOfTheFirstVersionAreValidUntilTheyExpire(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	hash := s.put("%PDF-1.7 a")
	at := strconv.FormatInt(now.Add(time.Hour).Unix(), 10)
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "schoolbell document\n%s\n%s", hash, at)
	link := "https://school.example/documents/" + hash + "?expires=" + at + "&signature=" +
		base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	require.Equal(t, http.StatusOK, s.request("GET", link).StatusCode)
}

// Staff may follow a link to a document that they were not sent: for an hour, and until their tokens are
// revoked. It says who they are to nobody but the server.
func TestP10_LinksOfStaffAreShortAndNameTheirReader(t *testing.T) {
	t.Parallel()
	s := newSite(t, folder(t))
	hash := s.put("%PDF-1.7 a")
	boss := document.Reader{School: "oak", User: "boss@oak.example"}
	var reads []document.Reader
	h, err := document.NewHandler(document.Config{
		Store: s.store, Links: s.links, Now: func() time.Time { return now },
		Readers: func(context.Context, string) (map[document.Reader]bool, error) {
			return map[document.Reader]bool{mum: true}, nil
		},
		Revoked: maps.All(s.revoked),
		Read: func(of document.Reader, _ string, _ bool) error {
			reads = append(reads, of)
			return nil
		},
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(document.Pattern, h)
	s.handler = mux
	status := func(link string) int { return s.request("GET", link).StatusCode }
	made := func(at time.Time) string { return s.links.StaffURL(hash, boss, at) }
	require.Equal(t, http.StatusOK, status(made(now)))
	require.Equal(t, []document.Reader{boss}, reads)
	require.Equal(t, http.StatusGone, status(made(now.Add(-document.StaffLinkValid))))
	require.NotContains(t, made(now), "boss")
	require.NotEqual(t, made(now), made(now), "nor that two are of the same reader")
	other := strings.Replace(made(now), "reader=~", "reader=~A", 1)
	require.Equal(t, http.StatusForbidden, status(other))
	require.Equal(t, http.StatusForbidden, status(s.links.URL(hash, boss, now.Add(time.Hour))),
		"a link of a message that was never sent")
	s.revoked[boss] = now
	require.Equal(t, http.StatusForbidden, status(made(now.Add(-time.Minute))))
	require.Equal(t, http.StatusOK, status(made(now.Add(time.Minute))))
}

func TestKeysCanBeReplaced(t *testing.T) {
	t.Parallel()
	before, err := document.NewLinks("", key)
	require.NoError(t, err)
	after, err := document.NewLinks("", []byte("the new key, as long as it has to be"), key)
	require.NoError(t, err)
	link, err := url.Parse(before.URL("h", mum, now.Add(time.Hour)))
	require.NoError(t, err)
	_, err = after.Check("h", link.Query(), now)
	require.NoError(t, err)
	require.NotEqual(t, before.URL("h", mum, now), after.URL("h", mum, now))

	_, err = document.NewLinks("not a base?x=1", []byte("short"))
	require.ErrorContains(t, err, "the base is not a URL without query")
	require.ErrorContains(t, err, "has 5 bytes")
}

type broken struct{}

func (broken) Write(context.Context, string, []byte) error { return errors.New("broken") }

func (broken) Read(context.Context, string, int64) ([]byte, error) {
	return nil, errors.New("broken")
}

// A blob that was changed on disk is not served: the link promises the content of its hash.
func TestADocumentThatHasChangedIsNotServed(t *testing.T) {
	t.Parallel()
	where := t.TempDir()
	dir, err := document.OpenDir(where)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	s := newSite(t, dir)
	hash := s.put("%PDF-1.7 what was promised")
	link := s.links.URL(hash, mum, now.Add(time.Hour))
	require.Equal(t, http.StatusOK, s.request("GET", link).StatusCode)
	require.NoError(t, os.WriteFile(filepath.Join(where, "documents", hash[:2], hash),
		[]byte("%PDF-1.7 what was promise!"), 0o600))
	require.Equal(t, http.StatusServiceUnavailable, s.request("GET", link).StatusCode)
	require.Equal(t, http.StatusServiceUnavailable,
		s.request("GET", link, "Range", "bytes=0-3").StatusCode)
	_, err = s.store.Get(t.Context(), hash)
	require.ErrorContains(t, err, "content has changed")
}

func TestAnUnavailableStoreIsNotAMissingDocument(t *testing.T) {
	t.Parallel()
	s := newSite(t, broken{})
	response := s.request("GET", s.links.URL(strings.Repeat("0", 64), mum, now.Add(time.Hour)))
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.NotEmpty(t, response.Header.Get("Retry-After"))
	_, err := s.store.Put(t.Context(), []byte("x"))
	require.ErrorContains(t, err, "broken")
}
