package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/internal/bench"
)

type benchRealtimeCommand struct {
	Rooms    int           `default:"100" placeholder:"N" help:"Rooms."`
	Members  []int         `default:"50,100" placeholder:"N" help:"Connections in each room, one measurement each."`
	InFlight []int         `default:"2500,20000" placeholder:"N" help:"Deliveries under way at once, one measurement each."`
	For      time.Duration `default:"5s" placeholder:"TIME" help:"How long each is measured."`
	Cores    []int         `default:"1,2" placeholder:"N" help:"Cores that a server may use, one measurement each."`
	Peers    string        `placeholder:"DIR" help:"Folder with the built servers of bench/peers (bare, centrifuge, socketio), to measure beside ours."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

func (*benchRealtimeCommand) Help() string {
	return `Starts a server with nothing but the hub and a log in memory, in a process of its own, and connects to it.

Example:

  schoolbell bench realtime --members 100 --cores 1`
}

func (c *benchRealtimeCommand) Run(ctx context.Context, io streams) error {
	if slices.Min(slices.Concat([]int{c.Rooms}, c.Members, c.InFlight, c.Cores)) < 1 {
		return usageError{errors.New("--rooms, --members, --in-flight and --cores must be at least 1")}
	}
	if runtime.GOOS != "linux" {
		return errors.New("bench realtime reads what servers use from /proc: it runs on Linux only")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	servers := []bench.FanoutServer{{Name: "schoolbell", Command: []string{self, "bench", "realtime-server"}, Speaks: bench.CentrifugeProtocol}}
	if c.Peers != "" {
		servers = append(servers,
			bench.FanoutServer{Name: "bare write", Command: []string{filepath.Join(c.Peers, "bare")}, Speaks: bench.CentrifugeProtocol},
			bench.FanoutServer{Name: "centrifuge", Command: []string{filepath.Join(c.Peers, "centrifuge")}, Speaks: bench.CentrifugeProtocol},
			bench.FanoutServer{Name: "socket.io", Command: []string{"node", "--expose-gc", filepath.Join(c.Peers, "socketio", "server.js")}, OneCore: true, Speaks: bench.SocketIOProtocol},
		)
	}
	return report(ctx, io, c.JSON, &bench.Fanout{
		Servers: servers, Rooms: c.Rooms, Members: c.Members, Cores: c.Cores, InFlight: c.InFlight, For: c.For, Progress: stages(io),
	})
}

// benchRealtimeServerCommand is what bench realtime measures.
type benchRealtimeServerCommand struct{}

func (*benchRealtimeServerCommand) Run(ctx context.Context, io streams) error {
	return bench.ServeFanout(ctx, io.out)
}
