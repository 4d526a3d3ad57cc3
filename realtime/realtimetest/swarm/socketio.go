package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gorilla/websocket"
)

const engineIO = "/socket.io/?EIO=4&transport="

// socketIO receives a room over Socket.IO and WebSocket.
func (c *Client) socketIO(ctx context.Context) error {
	conn, release, err := c.socket(ctx, engineIO+"websocket")
	if err != nil {
		return err
	}
	defer release()
	for {
		_, packet, err := conn.ReadMessage()
		if err != nil {
			return ended(err)
		}
		reply, err := c.packet(packet)
		if err == nil && reply != nil {
			err = conn.WriteMessage(websocket.TextMessage, reply)
		}
		if err != nil {
			return err
		}
	}
}

// poll receives a room over Socket.IO and long-polling.
func (c *Client) poll(ctx context.Context) error {
	transport := &http.Transport{
		DialContext: c.dial, MaxIdleConnsPerHost: 2,
		DisableCompression: true,
	}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport, Timeout: time.Minute}
	address := c.URL + engineIO + "polling"
	for {
		payload, err := c.exchange(ctx, web, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		for packet := range bytes.SplitSeq(payload, []byte{0x1E}) {
			if len(packet) > 0 && packet[0] == '0' {
				var open struct {
					SID string `json:"sid"`
				}
				if err := json.Unmarshal(packet[1:], &open); err != nil {
					return fmt.Errorf("read handshake: %w", err)
				}
				address += "&sid=" + open.SID
			}
			reply, err := c.packet(packet)
			if err == nil && reply != nil {
				_, err = c.exchange(ctx, web, http.MethodPost, address, reply)
			}
			if err != nil {
				return err
			}
		}
	}
}

func (c *Client) exchange(
	ctx context.Context, web *http.Client, method, address string, body []byte,
) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = c.header()
	resp, err := web.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	return b, err
}

var errPacket = errors.New("unexpected packet")

// packet takes one packet of Engine.IO, and returns the reply.
func (c *Client) packet(p []byte) (reply []byte, err error) {
	switch {
	case len(p) == 0:
		return nil, fmt.Errorf("%w: empty", errPacket)
	case p[0] == '0':
		return c.credentials(), nil
	case p[0] == '1':
		return nil, fmt.Errorf("%w: close packet", errEnded)
	case p[0] == '2':
		return []byte("3"), nil
	case p[0] == '6', bytes.Equal(p, []byte("41")):
		// nothing; and the end of the namespace, before that of the connection
		return nil, nil
	case bytes.HasPrefix(p, []byte("40")):
		return nil, c.admitted(p[2:])
	case bytes.HasPrefix(p, []byte("42")):
		return nil, c.event(p[2:])
	}
	return nil, fmt.Errorf("%w: %.100s", errPacket, p)
}

// credentials returns the packet that connects to the default namespace.
func (c *Client) credentials() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	auth := map[string]any{
		"token": c.Token, "school": c.School, "rooms": []string{c.Room},
		"from": c.From.String(),
	}
	if c.pid != "" {
		auth["pid"], auth["offset"] = c.pid, c.offset
	}
	b, err := json.Marshal(auth)
	if err != nil {
		panic(err) // texts
	}
	return append([]byte("40"), b...)
}

func (c *Client) admitted(data []byte) error {
	var in struct {
		PID string `json:"pid"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read session: %w", err)
	}
	c.mu.Lock()
	again := c.pid != "" && c.pid != in.PID
	c.pid = in.PID
	c.mu.Unlock()
	if again {
		c.lost("another session")
	}
	c.entered()
	return nil
}

func (c *Client) event(data []byte) error {
	var args []jsontext.Value
	if err := json.Unmarshal(data, &args); err != nil || len(args) < 2 {
		return fmt.Errorf("read event %.100s: %w", data, err)
	}
	var name, offset string
	if err := json.Unmarshal(args[0], &name); err != nil {
		return fmt.Errorf("read name of event: %w", err)
	}
	switch {
	case strings.HasPrefix(name, "schoolbell."):
		if err := c.received(args[1]); err != nil {
			return err
		}
	case name == "left":
		if err := c.left(args[1]); err != nil {
			return err
		}
	case name == "resync":
		c.lost(string(args[1]))
	}
	// the library remembers the last argument if it is a string
	if json.Unmarshal(args[len(args)-1], &offset) == nil {
		c.mu.Lock()
		c.offset = offset
		c.mu.Unlock()
	}
	return nil
}
