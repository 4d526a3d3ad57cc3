package socketio

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
)

// credentials are the auth payload. The library adds pid and offset to what the app sets.
type credentials struct {
	Token  string              `json:"token"`
	School string              `json:"school"`
	Rooms  rooms               `json:"rooms"`
	From   *domain.LogPosition `json:"from"`
	PID    string              `json:"pid"`
	Offset string              `json:"offset"`
}

// errBadAuth says that an auth payload is malformed.
var errBadAuth = errors.New("malformed auth payload")

// parseCredentials reads an auth payload. The error is for the developer of the client.
func parseCredentials(payload jsontext.Value) (credentials, error) {
	var auth credentials
	err := json.Unmarshal(payload, &auth)
	if err == nil {
		return auth, nil
	}
	wrong := "it is not valid JSON"
	if bad, ok := errors.AsType[*json.SemanticError](err); ok {
		switch bad.GoType {
		case reflect.TypeFor[domain.LogPosition]():
			wrong = string(bad.JSONPointer) + " must be a position, for example 7:1042"
		case reflect.TypeFor[rooms](), reflect.TypeFor[*rooms]():
			wrong = fmt.Sprintf("%s: %v", bad.JSONPointer, bad.Err)
		default:
			wrong = string(bad.JSONPointer) + " must be text"
		}
	}
	return auth, fmt.Errorf("%w: %s", errBadAuth, wrong)
}

// rooms are those of an auth payload: one, several in a text, or a list of them.
type rooms []domain.Room

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (r *rooms) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil || value.Kind() == 'n' {
		return err
	}
	*r, err = readRooms(value)
	return err
}

var errRooms = errors.New("want a room or a list of rooms")

// readRooms reads a list of rooms, or a text as [realtime.ParseRooms] does: not every client can send
// a list.
func readRooms(value jsontext.Value) ([]domain.Room, error) {
	switch value.Kind() {
	case '"':
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return nil, errRooms
		}
		list, err := realtime.ParseRooms(text)
		if err == nil && len(list) == 0 && text != "" {
			return nil, errRooms
		}
		return list, err
	case '[':
		var names []string
		if err := json.Unmarshal(value, &names); err != nil {
			return nil, errRooms
		}
		return parseRooms(names)
	default:
		return nil, errRooms
	}
}
