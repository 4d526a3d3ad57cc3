// Command bare does nothing but write: it speaks as much of the Centrifuge protocol as the benchmark needs to hear, and
// makes one write(2) for each delivery.
package main

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"

	"github.com/schoolbell/schoolbell/bench/peers"
)

var (
	mu    sync.Mutex
	rooms = map[string][]net.Conn{}
)

var channel = regexp.MustCompile(`"channel":"([^"]+)"`)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/connection/websocket", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		go listen(conn)
	})
	peers.Serve(mux, publish)
}

// listen reads short masked frames with a mask of zeros, as the benchmark sends them.
func listen(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 256)
	for {
		head := make([]byte, 6)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		message := make([]byte, head[1]&0x7F)
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		if m := channel.FindSubmatch(message); m != nil {
			mu.Lock()
			rooms[string(m[1])] = append(rooms[string(m[1])], conn)
			mu.Unlock()
		}
		_, _ = conn.Write(frame([]byte("{}")))
	}
}

func publish(room string, event []byte) {
	message := frame(fmt.Appendf(nil, `{"push":{"channel":%q,"pub":{"data":%s}}}`, room, event))
	mu.Lock()
	defer mu.Unlock()
	for _, c := range rooms[room] {
		_, _ = c.Write(message)
	}
}

func frame(payload []byte) []byte {
	if len(payload) < 126 {
		return append([]byte{0x81, byte(len(payload))}, payload...)
	}
	return append([]byte{0x81, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}
