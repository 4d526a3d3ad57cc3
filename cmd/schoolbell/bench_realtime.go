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

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
)

type benchRealtimeCommand struct {
	Rooms    int           `default:"100" placeholder:"N" help:"Number of rooms."`
	Members  []int         `default:"50,100" placeholder:"N" help:"Connections per room; one measurement for each value."`
	InFlight []int         `default:"2500,20000" placeholder:"N" help:"Deliveries in flight; one measurement for each value."`
	For      time.Duration `default:"5s" placeholder:"TIME" help:"Duration of each measurement."`
	Cores    []int         `default:"1,2" placeholder:"N" help:"Cores that a server may use; one measurement for each value."`
	Clients  int           `default:"1000" placeholder:"N" help:"Connections to a whole serve, for the latency from acceptance to clients; 0 skips it."`
	Rate     int           `default:"20" placeholder:"N" help:"Events per second for them; each event goes to a twentieth of them."`
	Peers    string        `placeholder:"DIR" help:"Folder with the built bench/peers (bare, centrifuge, socketio) to measure too."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

func (*benchRealtimeCommand) Help() string {
	return `Starts a process with only the hub and a log in memory, and connects to it. Then it starts a whole serve,
publishes events over HTTP, and measures the time from acceptance until clients have them. If a server
fails, the results of the others are printed, and the exit code is 1.

Example:

  schoolbell bench realtime --members 100 --cores 1`
}

func (c *benchRealtimeCommand) Run(ctx context.Context, io streams) error {
	if slices.Min(slices.Concat([]int{c.Rooms, c.Rate}, c.Members, c.InFlight, c.Cores)) < 1 {
		return usageError{
			errors.New("--rooms, --members, --in-flight, --cores and --rate must be at least 1"),
		}
	}
	if runtime.GOOS != "linux" {
		return errors.New("bench realtime reads what servers use from /proc: it runs on Linux only")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	servers := []bench.FanoutServer{
		{
			Name:     "schoolbell",
			Command:  []string{self, "bench", "realtime-server"},
			Protocol: bench.CentrifugeProtocol,
		},
		{
			Name:     "schoolbell protobuf",
			Command:  []string{self, "bench", "realtime-server"},
			Protocol: bench.CentrifugeProtobufProtocol,
		},
	}
	if c.Peers != "" {
		servers = append(
			servers,
			bench.FanoutServer{
				Name:     "bare write",
				Command:  []string{filepath.Join(c.Peers, "bare")},
				Protocol: bench.CentrifugeProtocol,
			},
			bench.FanoutServer{
				Name:     "centrifuge",
				Command:  []string{filepath.Join(c.Peers, "centrifuge")},
				Protocol: bench.CentrifugeProtocol,
			},
			bench.FanoutServer{
				Name: "socket.io",
				Command: []string{
					"node",
					"--expose-gc",
					filepath.Join(c.Peers, "socketio", "server.js"),
				},
				OneCore:  true,
				Protocol: bench.SocketIOProtocol,
			},
		)
	}
	return report(ctx, io, c.JSON, benchRealtime{c, &bench.Fanout{
		Servers: servers, Rooms: c.Rooms, Members: c.Members, Cores: c.Cores, InFlight: c.InFlight, For: c.For, Progress: printStages(io),
	}})
}

// benchRealtime measures the hub alone, and then the whole program.
type benchRealtime struct {
	command *benchRealtimeCommand
	fanout  *bench.Fanout
}

// Run implements benchmark.
func (b benchRealtime) Run(ctx context.Context) (*bench.Result, error) {
	result, err := b.fanout.Run(ctx)
	if b.command.Clients == 0 || ctx.Err() != nil {
		return result, err
	}
	target := benchTarget{}
	werr := target.with(ctx, func(ctx context.Context, at bench.Target, _ *benchLog) error {
		delivery := &bench.Delivery{
			Target: at, Connections: b.command.Clients, Rooms: deliveryRooms, Rate: b.command.Rate, For: b.command.For, Progress: b.fanout.Progress,
		}
		more, err := delivery.Run(ctx)
		if err != nil {
			return fmt.Errorf("measure deliveries of serve: %w", err)
		}
		result.Figures = append(result.Figures, more.Figures...)
		return nil
	})
	return result, errors.Join(err, werr)
}

// deliveryRooms is the number of rooms that the clients of the whole program are divided among.
const deliveryRooms = 20

// benchRealtimeServerCommand is the process that bench realtime measures.
type benchRealtimeServerCommand struct{}

func (*benchRealtimeServerCommand) Run(ctx context.Context, io streams) error {
	return bench.ServeFanout(ctx, io.out)
}
