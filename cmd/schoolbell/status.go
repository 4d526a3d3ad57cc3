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

	"github.com/schoolbell/schoolbell/internal/telemetry"
)

type statusCommand struct {
	Ops  string `env:"SCHOOLBELL_OPS_URL" placeholder:"URL" help:"Address of the operations port; else that of the serve on the data directory."`
	Data string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*statusCommand) Help() string {
	return `Exits with 1 when it is not ready.

Examples:

  schoolbell status
  schoolbell status --ops http://10.0.0.7:9090 --json`
}

func (c *statusCommand) Run(ctx context.Context, io streams) error {
	base := c.Ops
	if base == "" {
		at, err := readAddress(c.Data)
		if err != nil {
			return err
		}
		base = at.Ops
	}
	report, err := askReadiness(ctx, base)
	if err != nil {
		return err
	}
	if err := printStatus(io, c.JSON, report); err != nil {
		return err
	}
	if report.Status == "not ready" {
		return exitCode(exitFailed)
	}
	return nil
}

func askReadiness(ctx context.Context, base string) (*telemetry.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("address %q: %w", base, err)}
	}
	resp, err := new(http.Client).Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask for readiness: %w", errors.Unwrap(err))
	}
	defer resp.Body.Close()
	report := new(telemetry.Report)
	if err := json.UnmarshalRead(resp.Body, report); err != nil {
		return nil, fmt.Errorf("read readiness: %w", err)
	}
	return report, nil
}

func printStatus(io streams, asJSON bool, report *telemetry.Report) error {
	if asJSON {
		return printJSON(io.out, report)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\n\n", report.Status)
	for _, name := range slices.Sorted(maps.Keys(report.Checks)) {
		fmt.Fprintf(w, "%s\t%s\n", name, report.Checks[name])
	}
	return w.Flush()
}
