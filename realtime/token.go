package realtime

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
)

// Resume is what a client presents to continue where it was, on any node: the content of a
// protocol's session id, sealed by the hub. It grants nothing: the client must show its token
// again, and rights to the rooms are checked again.
type Resume struct {
	Position domain.LogPosition // up to which the client had received the log when it was sealed
	Rooms    []domain.Room
}

// ErrForeignToken says that a resume token is malformed, was not made by this deployment for this
// log, or belongs to another user.
var ErrForeignToken = errors.New("resume token is not valid here")

// sealed is the content of a token. User, school and log are not in it but covered by the
// signature, which keeps tokens short.
type sealed struct {
	Position domain.LogPosition `json:"p"`
	Rooms    []string           `json:"r,omitempty"`
}

// Seal makes a token for a user of a school.
func (h *Hub) Seal(user, school string, r Resume) string {
	s := sealed{Position: r.Position}
	for _, room := range r.Rooms {
		s.Rooms = append(s.Rooms, room.String())
	}
	body, err := json.Marshal(s)
	if err != nil {
		panic(err) // positions and texts can always be written
	}
	return base64.RawURLEncoding.EncodeToString(append(h.sign("resume", user, school,
		string(body))[:16:16], body...))
}

// maxTokenLength bounds the work on a token before its signature is checked. It leaves room for the
// longest list of rooms.
const maxTokenLength = 64 << 10

// Unseal reads a token that was sealed for the same user and school, or returns [ErrForeignToken].
// Whether its position can still be served is found out by [Hub.Open]. A hub that has just started
// waits until it knows which log it follows.
func (h *Hub) Unseal(ctx context.Context, user, school, token string) (Resume, error) {
	var r Resume
	if err := h.wait(ctx, h.started); err != nil {
		return r, err
	}
	if len(token) > maxTokenLength {
		return r, fmt.Errorf("%w: it is too long", ErrForeignToken)
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 16 {
		return r, fmt.Errorf("%w: it is malformed", ErrForeignToken)
	}
	body := b[16:]
	if !hmac.Equal(b[:16], h.sign("resume", user, school, string(body))[:16]) {
		return r, fmt.Errorf("%w: the signature does not match", ErrForeignToken)
	}
	var s sealed
	if err := json.Unmarshal(body, &s); err != nil {
		return r, fmt.Errorf("%w: %w", ErrForeignToken, err)
	}
	r.Position = s.Position
	for _, name := range s.Rooms {
		room, err := domain.ParseRoom(name)
		if err != nil {
			return r, fmt.Errorf("%w: %w", ErrForeignToken, err)
		}
		r.Rooms = append(r.Rooms, room)
	}
	return r, nil
}

// EpochFor returns a signed name of the log for a user of a school, for protocols whose clients
// store the bare offset: an offset with another epoch belongs to another log, school or user.
func (h *Hub) EpochFor(user, school string) string {
	return base64.RawURLEncoding.EncodeToString(h.sign("epoch", user, school, "")[:12])
}

// sign binds a content to a purpose, a user, a school and the log. Each part is preceded by its
// length, so that no two combinations share their bytes.
func (h *Hub) sign(purpose, user, school, content string) []byte {
	mac := hmac.New(sha256.New, h.cfg.Key)
	var n [8]byte
	for _, part := range [...]string{purpose, h.signed, user, school, content} {
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		mac.Write(n[:])
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}
