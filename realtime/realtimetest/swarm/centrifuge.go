package swarm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gorilla/websocket"
)

// socket opens a WebSocket that closes with ctx.
func (c *Client) socket(
	ctx context.Context, path string,
) (conn *websocket.Conn, release func(), err error) {
	dialer := websocket.Dialer{NetDialContext: c.dial, ReadBufferSize: 1024, WriteBufferSize: 256}
	conn, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(c.URL, "http")+path,
		c.header())
	if resp != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, func() { stop(); _ = conn.Close() }, nil
}

// ended returns an error with the close code of a WebSocket.
func ended(err error) error {
	if closed := (*websocket.CloseError)(nil); errors.As(err, &closed) &&
		closed.Code != websocket.CloseAbnormalClosure {
		return fmt.Errorf("%w: %d", errEnded, closed.Code)
	}
	return err
}

type centrifugePublication struct {
	Data jsontext.Value `json:"data"`
}

type centrifugeReply struct {
	ID    uint32 `json:"id"`
	Error *struct {
		Code int `json:"code"`
	} `json:"error"`
	Subscribe *struct {
		Recovered    bool                    `json:"recovered"`
		Epoch        string                  `json:"epoch"`
		Publications []centrifugePublication `json:"publications"`
	} `json:"subscribe"`
	Push *struct {
		Channel string                 `json:"channel"`
		Pub     *centrifugePublication `json:"pub"`
		Left    *struct{}              `json:"unsubscribe"`
	} `json:"push"`
}

// centrifuge receives a channel of the Centrifuge protocol.
func (c *Client) centrifuge(ctx context.Context) error {
	conn, release, err := c.socket(ctx, "/connection/websocket")
	if err != nil {
		return err
	}
	defer release()
	c.mu.Lock()
	epoch := c.epoch
	c.mu.Unlock()
	hello := fmt.Sprintf(`{"id":1,"connect":{}}`+"\n"+
		`{"id":2,"subscribe":{"channel":%q,"recover":true,"offset":%d,"epoch":%q}}`, c.Room, c.at(),
		epoch)
	if err := conn.WriteMessage(websocket.TextMessage, []byte(hello)); err != nil {
		return err
	}
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return ended(err)
		}
		if string(frame) == "{}" {
			if err := conn.WriteMessage(websocket.TextMessage, frame); err != nil {
				return err
			}
			continue
		}
		var r centrifugeReply
		if err := json.Unmarshal(frame, &r); err != nil {
			return fmt.Errorf("read reply: %w", err)
		}
		if err := c.reply(&r); err != nil {
			return err
		}
	}
}

func (c *Client) reply(r *centrifugeReply) error {
	switch {
	case r.Error != nil:
		c.lost(fmt.Sprintf("error %d", r.Error.Code))
		return fmt.Errorf("error %d", r.Error.Code)
	case r.Subscribe != nil:
		if !r.Subscribe.Recovered {
			c.lost("not recovered")
		}
		c.mu.Lock()
		c.epoch = r.Subscribe.Epoch
		c.mu.Unlock()
		for _, p := range r.Subscribe.Publications {
			if err := c.received(p.Data); err != nil {
				return err
			}
		}
		c.entered()
	case r.Push != nil && r.Push.Left != nil:
		c.leftRoom(r.Push.Channel)
	case r.Push != nil && r.Push.Pub != nil && r.Push.Channel == c.Room:
		return c.received(r.Push.Pub.Data)
	}
	return nil
}
