// Command bare does nothing but write: it speaks as much of the Centrifuge protocol as the benchmark needs, and
// makes one write(2) for each delivery, in as many goroutines as it has cores.
package main

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"sync"

	"github.com/schoolbell/schoolbell/bench/peers"
)

// writer is one goroutine that writes, and the rooms that it writes to.
type writer struct {
	mu     sync.RWMutex
	rooms  map[string][]net.Conn
	events chan delivery
}

type delivery struct {
	room    string
	message []byte
}

var writers = make([]writer, runtime.GOMAXPROCS(0))

// writerOf is always the same for a room, so that its events keep their order.
func writerOf(room string) *writer {
	return &writers[crc32.ChecksumIEEE([]byte(room))%uint32(len(writers))]
}

var channel = regexp.MustCompile(`"channel":"([^"]+)"`)

func main() {
	for i := range writers {
		writers[i].rooms, writers[i].events = map[string][]net.Conn{}, make(chan delivery, 1000)
		go writers[i].run()
	}
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
			l := writerOf(string(m[1]))
			l.mu.Lock()
			l.rooms[string(m[1])] = append(l.rooms[string(m[1])], conn)
			l.mu.Unlock()
		}
		_, _ = conn.Write(frame([]byte("{}")))
	}
}

func publish(room string, event []byte) {
	writerOf(room).events <- delivery{room, frame(fmt.Appendf(nil, `{"push":{"channel":%q,"pub":{"data":%s}}}`, room, event))}
}

func (l *writer) run() {
	for d := range l.events {
		l.mu.RLock()
		for _, c := range l.rooms[d.room] {
			_, _ = c.Write(d.message)
		}
		l.mu.RUnlock()
	}
}

func frame(payload []byte) []byte {
	if len(payload) < 126 {
		return append([]byte{0x81, byte(len(payload))}, payload...)
	}
	return append([]byte{0x81, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}
