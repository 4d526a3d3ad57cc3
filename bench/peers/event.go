package peers

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"
)

// Event is the n-th one, of the size and content of one of Schoolbell's: its title says when it was published.
func Event(n int, room string) []byte {
	now := time.Now()
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"https://bench.example","type":"schoolbell.announcement.posted.v1",`+
		`"time":%q,"subject":"%d","school":"bench","position":"0:%d","datacontenttype":"application/json","data":{"announcement_id":"%d",`+
		`"title":"t%d","body":"School ends at noon today.","audience":{"class_ids":[%q]},"channels":["in_app"],"urgent":false}}`,
		n, now.UTC().Format(time.RFC3339Nano), n, n, n, now.UnixNano(), room)
}

// Serve runs a server that publishes when it is told to (POST /publish?events=N&rooms=R), and ends with its standard
// input.
func Serve(mux *http.ServeMux, publish func(room string, event []byte)) {
	mux.HandleFunc("POST /settle", func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() })
	next := 0
	mux.HandleFunc("POST /publish", func(_ http.ResponseWriter, r *http.Request) {
		events, _ := strconv.Atoi(r.FormValue("events"))
		rooms, _ := strconv.Atoi(r.FormValue("rooms"))
		for range events {
			room := "r" + strconv.Itoa(next%rooms)
			publish("class:"+room, Event(next, room))
			next++
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	panic(http.Serve(listener, mux))
}
