package realtime

import (
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// roomKinds holds for each event type the kinds of rooms that its events belong to, so that events
// without a listener are never decoded. Types whose rooms depend on their data are absent.
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
