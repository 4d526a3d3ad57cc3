package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/schoolbell/schoolbell/internal/bench"
)

type benchRealtimeCommand struct {
	Rooms    int           `default:"100" placeholder:"N" help:"Rooms."`
	Members  int           `default:"50" placeholder:"N" help:"Connections in each room."`
	InFlight []int         `default:"50,400" placeholder:"N" help:"Events under way at once, one measurement each."`
	For      time.Duration `default:"5s" placeholder:"TIME" help:"How long each is measured."`
	Cores    int           `default:"1" placeholder:"N" help:"Cores that a server may use."`
	Peers    string        `placeholder:"DIR" help:"Folder with the built servers of bench/peers (bare, centrifuge, socketio), to measure beside ours."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

func (*benchRealtimeCommand) Help() string {
	return `Starts a server with nothing but the hub and a log in memory, in a process of its own, and connects to it.

Example:

  schoolbell bench realtime --rooms 100 --members 100`
}

func (c *benchRealtimeCommand) Run(ctx context.Context, io streams) error {
	if c.Rooms < 1 || c.Members < 1 || c.Cores < 1 {
		return usageError{errors.New("--rooms, --members and --cores must be at least 1")}
	}
	if runtime.GOOS != "linux" {
		return errors.New("bench realtime reads what servers use from /proc: it runs on Linux only")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	env := []string{fmt.Sprintf("GOMAXPROCS=%d", c.Cores)}
	servers := []bench.FanoutServer{{Name: "schoolbell", Command: []string{self, "bench", "realtime-server"}, Env: env, Speaks: bench.CentrifugeProtocol}}
	if c.Peers != "" {
		servers = append(servers,
			bench.FanoutServer{Name: "bare write", Command: []string{filepath.Join(c.Peers, "bare")}, Env: env, Speaks: bench.CentrifugeProtocol},
			bench.FanoutServer{Name: "centrifuge", Command: []string{filepath.Join(c.Peers, "centrifuge")}, Env: env, Speaks: bench.CentrifugeProtocol},
			bench.FanoutServer{Name: "socket.io", Command: []string{"node", "--expose-gc", filepath.Join(c.Peers, "socketio", "server.js")}, Speaks: bench.SocketIOProtocol},
		)
	}
	return report(ctx, io, c.JSON, &bench.Fanout{
		Servers: servers, Rooms: c.Rooms, Members: c.Members, InFlight: c.InFlight, For: c.For, Progress: stages(io),
	})
}

// benchRealtimeServerCommand is what bench realtime measures.
type benchRealtimeServerCommand struct{}

func (*benchRealtimeServerCommand) Run(ctx context.Context, io streams) error {
	return bench.ServeFanout(ctx, io.out)
}
