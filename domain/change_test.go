package domain_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
)

func TestAChangeTellsAbsentFromRemoved(t *testing.T) {
	t.Parallel()
	type fact struct {
		Name   domain.Change[string]      `json:"name,omitzero"`
		Born   domain.Change[domain.Date] `json:"born,omitzero"`
		Grades domain.Change[[]string]    `json:"grades,omitzero"`
	}
	for text, want := range map[string]fact{
		`{}`:                            {},
		`{"name":null}`:                 {Name: domain.Removed[string]()},
		`{"name":"Ada"}`:                {Name: domain.To("Ada")},
		`{"born":null,"grades":null}`:   {Born: domain.Removed[domain.Date](), Grades: domain.Removed[[]string]()},
		`{"born":"2014-02-28"}`:         {Born: domain.To(domain.NewDate(2014, 2, 28))},
		`{"name":"Ada","grades":["4"]}`: {Name: domain.To("Ada"), Grades: domain.To([]string{"4"})},
	} {
		var got fact
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, want, got, text)
		again, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, text, string(again))
	}
}

func TestAChangeIsAppliedToWhatWasBefore(t *testing.T) {
	t.Parallel()
	require.Equal(t, "old", domain.Change[string]{}.Or("old"))
	require.Equal(t, "new", domain.To("new").Or("old"))
	require.Empty(t, domain.Removed[string]().Or("old"))
}

func TestChangesAreKnownByTheirType(t *testing.T) {
	t.Parallel()
	value, ok := domain.ChangeOf(reflect.TypeFor[domain.Change[domain.Label]]())
	require.True(t, ok)
	require.Equal(t, reflect.TypeFor[domain.Label](), value)
	_, ok = domain.ChangeOf(reflect.TypeFor[domain.Label]())
	require.False(t, ok)
}
