package read_test

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

type sortKey struct {
	Name string `json:"n"`
	ID   string `json:"s"`
}

func TestACursorComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for _, p := range []sortKey{{}, {"ödön", "s1"}, {`<"&>`, "\x01"}} {
		c, err := read.Cursor(p)
		require.NoError(t, err)
		back, err := read.ParseCursor[sortKey](c)
		require.NoError(t, err)
		require.Equal(t, &p, back)
	}
	first, err := read.ParseCursor[sortKey]("")
	require.NoError(t, err)
	require.Nil(t, first)
}

func TestAnInventedCursorIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `null`, `{"n":"a"}`, `{"s":"1","n":"a"}`,
		`{"n":"a","s":"1","x":1}`, `{"n":"a","s":null}`, `7`, `"a"`, ` {"n":"a","s":"1"}`,
	} {
		_, err := read.ParseCursor[sortKey](base64.RawURLEncoding.EncodeToString([]byte(text)))
		require.ErrorIs(t, err, query.ErrInput, text)
	}
	for _, text := range []string{`null`, `7.0`, `"7"`, `{}`} {
		_, err := read.ParseCursor[int64](base64.RawURLEncoding.EncodeToString([]byte(text)))
		require.ErrorIs(t, err, query.ErrInput, text)
	}
	_, err := read.ParseCursor[sortKey]("not base64!")
	require.ErrorIs(t, err, query.ErrInput)
}
