package catalog_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

func TestTheCatalogueIsInOrder(t *testing.T) {
	t.Parallel()
	for _, f := range catalog.Facts() {
		context, _, _, err := domain.SplitType(f.Type)
		require.NoError(t, err)
		require.Equal(t, "domain/"+context,
			f.GoType().PkgPath()[len("github.com/schoolbell/schoolbell/"):],
			"%s lives in its context", f.Type)
		require.NotEmpty(t, f.Doc)
		found, ok := catalog.Lookup(f.Type)
		require.True(t, ok)
		require.Equal(t, f.Type, found.Type)

		newest, data := catalog.Upcast(found, f.New())
		require.Nil(t, newest.Upcast)
		require.Equal(t, newest.GoType(), reflect.TypeOf(data).Elem())
	}
	_, ok := catalog.Lookup("schoolbell.student.enrolled.v99")
	require.False(t, ok)
}

func TestEmptyDataIsNeverValid(t *testing.T) {
	t.Parallel()
	for _, f := range catalog.Facts() {
		var faults domain.Faults
		f.New().Validate(&faults)
		require.NotEmpty(t, faults.List, f.Type)
		require.NotEmpty(t, domain.RulesOf(f.New()), f.Type)
	}
}

func TestEveryEventNamesItsRoomsWell(t *testing.T) {
	t.Parallel()
	kinds := map[domain.RoomKind]bool{
		domain.RoomUser: true, domain.RoomRole: true,
		domain.RoomClass: true, domain.RoomStudent: true,
	}
	for _, f := range catalog.Facts() {
		for _, room := range f.New().Rooms() {
			require.True(t, kinds[room.Kind], "%s: %s", f.Type, room)
		}
	}
}
