package realtime

import (
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// roomKinds says for each event type in which kinds of rooms its events can be, so that events nobody listens to are
// not decoded. A type whose rooms depend on its data is not in it.
var roomKinds = func() map[string][]domain.RoomKind {
	types := map[string][]domain.RoomKind{}
	for _, f := range catalog.Facts() {
		_, newest := catalog.Upcast(&f, f.New())
		var kinds []domain.RoomKind
		dependent := false
		for _, r := range newest.Rooms() {
			kinds = append(kinds, r.Kind)
			dependent = dependent || r.ID != ""
		}
		if len(kinds) > 0 && !dependent {
			types[f.Type] = slices.Compact(kinds)
		}
	}
	return types
}()
