package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/realtime"
)

type statusCommand struct {
	Ops  string `env:"SCHOOLBELL_OPS_URL" placeholder:"URL" help:"Address of the operations port (default: that of the serve on the data directory)."`
	Data string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*statusCommand) Help() string {
	return `Prints the checks of /readyz and, with the role realtime, the live connections of all nodes. Exits with 1
when the process is not ready.

Examples:

  schoolbell status
  schoolbell status --ops http://10.0.0.7:9090 --json`
}

func (c *statusCommand) Run(ctx context.Context, io streams) error {
	base := c.Ops
	if base == "" {
		at, err := program.ReadAddress(c.Data)
		if err != nil {
			return err
		}
		base = at.Ops
	}
	var report status
	if err := getOps(ctx, base, "/readyz", &report.Report); err != nil {
		return err
	}
	if _, here := report.Checks["realtime"]; here {
		if err := getOps(ctx, base, "/realtime", &report.Realtime); err != nil {
			return err
		}
	}
	if err := report.print(io, c.JSON); err != nil {
		return err
	}
	if report.Status == "not ready" {
		return exitCode(exitFailed)
	}
	return nil
}

// status is the health of a process and the live connections of all nodes.
type status struct {
	telemetry.Report
	Realtime []realtime.Status `json:"realtime,omitempty"`
}

// getOps reads JSON from the operations port.
func getOps(ctx context.Context, base, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return usageError{fmt.Errorf("the address of the operations port: %w", errors.Unwrap(err))}
	}
	resp, err := new(http.Client).Do(r)
	if err != nil {
		return fmt.Errorf("get %s: %w", path, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	if err := json.UnmarshalRead(resp.Body, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func (s *status) print(io streams, asJSON bool) error {
	if asJSON {
		return printJSON(io.out, s)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\n\n", s.Status)
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		fmt.Fprintf(w, "%s\t%s\n", name, s.Checks[name])
	}
	if len(s.Realtime) > 0 {
		fmt.Fprint(w, "\nNODE\tCONNECTIONS\t\n")
	}
	for _, n := range s.Realtime {
		fmt.Fprintf(w, "%s\t%d\t%s\n", n.Node, n.Connections, map[bool]string{true: "draining"}[n.Draining])
	}
	if rooms := s.busiest(); len(rooms) > 0 {
		fmt.Fprint(w, "\nSCHOOL\tROOM\tCONNECTIONS\n")
		for _, r := range rooms {
			fmt.Fprintf(w, "%s\t%s\t%d\n", r.School, r.Room, r.Sessions)
		}
	}
	return w.Flush()
}

// busiest sums the busiest rooms over the nodes.
func (s *status) busiest() []realtime.RoomSize {
	var rooms []realtime.RoomSize
	for _, n := range s.Realtime {
		for _, r := range n.Busiest {
			i := slices.IndexFunc(rooms, func(x realtime.RoomSize) bool { return x.School == r.School && x.Room == r.Room })
			if i < 0 {
				rooms = append(rooms, r)
			} else {
				rooms[i].Sessions += r.Sessions
			}
		}
	}
	slices.SortStableFunc(rooms, func(a, b realtime.RoomSize) int { return b.Sessions - a.Sessions })
	return rooms[:min(len(rooms), 10)]
}
