package edfi_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/golden"
)

// read imports a directory into memory.
func read(t *testing.T, dir string) ([]*domain.Envelope, *edfi.Report) {
	t.Helper()
	im, err := edfi.Open(t.Context(), os.DirFS(dir), nil)
	require.NoError(t, err)
	var events []*domain.Envelope
	report, err := im.Events(t.Context(), func(e *domain.Envelope) error {
		events = append(events, e)
		return nil
	})
	require.NoError(t, err)
	return events, report
}

// The district is made up for this test: every rule and fault of the importer occurs in it.
func TestGoldenImportOfASmallDistrict(t *testing.T) {
	t.Parallel()
	events, report := read(t, "testdata/district")
	var lines []byte
	for _, e := range events {
		var err error
		lines, err = cloudevents.AppendStructured(lines, e)
		require.NoError(t, err)
		lines = append(lines, '\n')
	}
	golden.Check(t, "testdata/district.ndjson", lines)
	var text bytes.Buffer
	require.NoError(t, report.WriteText(&text))
	golden.Check(t, "testdata/district.report.txt", text.Bytes())
}

func TestImportIsTakenAtTheDoor(t *testing.T) {
	t.Parallel()
	events, _ := read(t, "testdata/district")
	for _, e := range events {
		body, err := cloudevents.AppendStructured(nil, e)
		require.NoError(t, err)
		intake := cloudevents.Intake{School: e.School, Now: time.Unix(0, 0)}
		_, err = intake.Parse(http.Header{"Content-Type": {cloudevents.StructuredType}}, body)
		require.NoError(t, err, string(body))
	}
}

// Importing twice changes nothing because ids repeat; a changed record is a new event.
func TestImportIDsFollowTheContent(t *testing.T) {
	t.Parallel()
	first, _ := read(t, "testdata/district")
	again, _ := read(t, "testdata/district")
	require.Empty(t, cmp.Diff(first, again))

	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/district")))
	file := filepath.Join(dir, "Gradebook.xml")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, bytes.Replace(content, []byte("31.5"), []byte("32.5"), 1),
		0o600))
	changed, _ := read(t, dir)
	known := make(map[string]bool)
	for _, e := range first {
		known[e.ID] = true
	}
	var added []domain.Event
	for _, e := range changed {
		if !known[e.ID] {
			added = append(added, e.Data)
		}
	}
	require.Len(t, added, 1)
	require.Len(t, known, len(first)-1, "a mark that occurs twice has one id")
}

func TestImportProgressEndsAtTheTotal(t *testing.T) {
	t.Parallel()
	var read, total int64
	im, err := edfi.Open(t.Context(), os.DirFS("testdata/district"), func(r, of int64) {
		require.GreaterOrEqual(t, r, read)
		read, total = r, of
	})
	require.NoError(t, err)
	require.Equal(t, total/2, read)
	_, err = im.Events(t.Context(), func(*domain.Envelope) error { return nil })
	require.NoError(t, err)
	require.Equal(t, total, read)
}

func TestImportStops(t *testing.T) {
	t.Parallel()
	im, err := edfi.Open(t.Context(), os.DirFS("testdata/district"), nil)
	require.NoError(t, err)
	full := errors.New("full")
	_, err = im.Events(t.Context(), func(*domain.Envelope) error { return full })
	require.ErrorIs(t, err, full)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = edfi.Open(ctx, os.DirFS("testdata/district"), nil)
	require.ErrorIs(t, err, context.Canceled)
}

// A file that cannot be read completely stops the import before its first event.
func TestOpenRefusesBadFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"cut off": {
			"<InterchangeStudent>\n<Student><Name>",
			"bad.xml: XML syntax error on line 2: unexpected EOF",
		},
		"other root": {"<html></html>", "root element is html, not an Ed-Fi interchange"},
		"empty":      {"", "file has no root element"},
		"two roots":  {"<InterchangeStudent/><Student/>", "more than one root"},
		"encoding": {
			`<?xml version="1.0" encoding="UTF-16"?><InterchangeStudent/>`,
			`encoding "UTF-16" is not supported`,
		},
		"entity": {
			"<InterchangeStudent><Student>&boom;</Student></InterchangeStudent>",
			"invalid character entity &boom;",
		},
		"document type": {
			`<!DOCTYPE x [<!ENTITY boom "boom">]><InterchangeStudent/>`,
			"document type declarations are not accepted",
		},
		"inner doc type": {"<InterchangeStudent><Student><!DOCTYPE x></Student></InterchangeStudent>", "document type declarations are not accepted"},
		"too deep": {
			"<InterchangeStudent>" + string(bytes.Repeat([]byte("<Name>"), 100)),
			"more than 32 levels deep",
		},
		"too many": {"<InterchangeStudent><Student>" +
			string(bytes.Repeat([]byte("<a/>"), 10_001)), "record is larger than"},
		"too large": {"<InterchangeStudent><Student>" +
			string(bytes.Repeat([]byte("text "), 1<<19)), "record is larger than"},
		"huge comment": {"<InterchangeStudent><!--" +
			string(bytes.Repeat([]byte("text "), 1<<19)), "record is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := edfi.Open(t.Context(),
				fstest.MapFS{"bad.xml": {Data: []byte(c.content)}}, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := edfi.Open(t.Context(), os.DirFS(filepath.Join(t.TempDir(), "missing")), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = edfi.Open(t.Context(), fstest.MapFS{}, nil)
	require.ErrorContains(t, err, "holds no XML files")
}

// FuzzImport reads any bytes as an interchange file: the importer must return, and yield valid
// events only.
func FuzzImport(f *testing.F) {
	names, err := filepath.Glob("testdata/district/*.xml")
	require.NoError(f, err)
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(content)
	}
	known := fstest.MapFS{}
	for _, name := range []string{"Organisation.xml", "Calendar.xml", "Student.xml"} {
		content, err := os.ReadFile(filepath.Join("testdata/district", name))
		require.NoError(f, err)
		known[name] = &fstest.MapFile{Data: content}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := maps.Clone(known)
		dir["fuzz.xml"] = &fstest.MapFile{Data: content}
		im, err := edfi.Open(t.Context(), dir, nil)
		if err != nil {
			return
		}
		events := make(map[string]int)
		report, err := im.Events(t.Context(), func(e *domain.Envelope) error {
			events[e.Type]++
			var faults domain.Faults
			e.Data.Validate(&faults)
			return faults.Err()
		})
		require.NoError(t, err)
		require.True(t, maps.Equal(events, report.Events))
	})
}
