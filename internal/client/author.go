package client

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// withoutAuthor removes from an event of a log who wrote it there: the server marks it with whoever
// publishes it now, and refuses what says it already. What is no event is left to the server.
func withoutAuthor(event []byte) []byte {
	if !bytes.Contains(event, []byte(`"authsub"`)) && !bytes.Contains(event, []byte(`"authjti"`)) {
		return event
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(event, &members) != nil {
		return event
	}
	delete(members, "authsub")
	delete(members, "authjti")
	rest, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		return event
	}
	return rest
}
