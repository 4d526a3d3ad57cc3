package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/centrifugal/protocol"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
)

// FanoutProtocol is how a client joins a room.
type FanoutProtocol struct {
	Path   string
	Greets bool                       // the server speaks first
	Binary bool                       // messages are bytes and not text
	Join   func(room string) []string // what the client sends, each after a response
	Mark   []byte                     // is in every delivery once
	Ping   string                     // what the server sends to check the connection
	Pong   string                     // and the response
}

// Protocols of the servers.
var (
	CentrifugeProtocol = FanoutProtocol{
		Path: "/connection/websocket",
		Join: func(room string) []string {
			return []string{
				`{"id":1,"connect":{"token":"bench"}}`,
				`{"id":2,"subscribe":{"channel":"class:` + room + `"}}`,
			}
		},
		Mark: []byte(`"push"`), Ping: "{}", Pong: "{}",
	}
	CentrifugeProtobufProtocol = FanoutProtocol{
		Path: "/connection/websocket?format=protobuf", Binary: true,
		Join: func(room string) []string {
			return []string{
				protobufCommand(&protocol.Command{
					Id: 1, Connect: &protocol.ConnectRequest{Token: "bench"},
				}),
				protobufCommand(&protocol.Command{
					Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "class:" + room},
				}),
			}
		},
		Mark: []byte(`"specversion"`), Ping: "\x00", Pong: "\x00",
	}
	SocketIOProtocol = FanoutProtocol{
		Path: "/socket.io/?EIO=4&transport=websocket", Greets: true,
		Join: func(room string) []string { return []string{"40", `420["join","class:` + room + `"]`} },
		Mark: []byte(`42["event"`), Ping: "2", Pong: "3",
	}
)

// protobufCommand is a command after its length.
func protobufCommand(cmd *protocol.Command) string {
	body, err := cmd.MarshalVT()
	if err != nil {
		panic(err) // it fails for no command
	}
	return string(protowire.AppendBytes(nil, body))
}

// connect opens n connections to a server, by turns in each of some rooms, and passes what they
// receive to received. They come from several addresses, so that there are ports enough.
func connect(
	ctx context.Context, address string, protocol FanoutProtocol, rooms, n int,
	received func(int, time.Time, time.Time),
) (*swarm, error) {
	swarm, err := newSwarm(protocol, received)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(32)
	for i := range n {
		g.Go(func() error {
			from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/20_000))}
			conn, had, err := protocol.join(ctx, from, address, "r"+strconv.Itoa(i%rooms))
			if err != nil {
				return err
			}
			return swarm.add(conn, had)
		})
	}
	if err := g.Wait(); err != nil {
		swarm.close()
		return nil, err
	}
	return swarm, nil
}

// join opens one connection in a room, and returns what it has already received there.
func (p *FanoutProtocol) join(
	ctx context.Context, from net.Addr, address, room string,
) (net.Conn, []byte, error) {
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}).DialContext(ctx, "tcp",
		address)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	in := bufio.NewReaderSize(conn, 4096)
	if err = p.greet(conn, in, address, room); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	had, _ := in.Peek(in.Buffered())
	return conn, had, nil
}

// greet shakes hands and joins the room.
func (p *FanoutProtocol) greet(conn net.Conn, in *bufio.Reader, address, room string) error {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	fmt.Fprintf(
		conn,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		p.Path,
		address,
	)
	res, err := http.ReadResponse(in, nil) //nolint:bodyclose // one that switches protocols has none
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("connect: %w: %s", errStatus, res.Status)
	}
	if p.Greets {
		if _, err := readFrame(in); err != nil {
			return fmt.Errorf("join: %w", err)
		}
	}
	for _, message := range p.Join(room) {
		if _, err := conn.Write(p.masked(message)); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		frame, err := readFrame(in)
		if err != nil {
			return fmt.Errorf("join: %w", err)
		}
		if bytes.Contains(frame, []byte(`"error":{`)) {
			return fmt.Errorf("join: refused: %.200s", frame)
		}
	}
	return nil
}

// readFrame reads one frame, which is not long.
func readFrame(in *bufio.Reader) (payload []byte, err error) {
	for n := 2; ; {
		b, err := in.Peek(n)
		if err != nil {
			return nil, fmt.Errorf("read frame: %w", err)
		}
		if payload, rest, ok := cutFrame(b); ok {
			payload = bytes.Clone(payload)
			_, err := in.Discard(len(b) - len(rest))
			return payload, err
		}
		n = max(n+1, in.Buffered())
	}
}

// masked is a message of less than 64 KiB as a client sends it, with a mask of zeros.
func (p *FanoutProtocol) masked(s string) []byte {
	const text, bytes = 0x81, 0x82
	kind := byte(text)
	if p.Binary {
		kind = bytes
	}
	frame := []byte{kind, 0x80 | byte(len(s))}
	if len(s) > 125 {
		frame = binary.BigEndian.AppendUint16([]byte{kind, 0x80 | 126}, uint16(len(s)))
	}
	return append(append(frame, 0, 0, 0, 0), s...)
}

// cutFrame takes the payload of the first frame off.
func cutFrame(b []byte) (payload, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, b, false
	}
	head, n := 2, int(b[1]&0x7F)
	switch {
	case n == 126 && len(b) >= 4:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case n == 127 && len(b) >= 10:
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	case n >= 126:
		return nil, b, false
	}
	if len(b) < head+n {
		return nil, b, false
	}
	return b[head : head+n], b[head+n:], true
}

// publishedAt reads when the first event in a frame was published, from its title.
func publishedAt(payload []byte) time.Time {
	_, title, _ := bytes.Cut(payload, []byte(`"title":"t`))
	end := max(0, bytes.IndexByte(title, '"'))
	nanos, err := strconv.ParseInt(string(title[:end]), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}
