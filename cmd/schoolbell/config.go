package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
)

type configCommand struct {
	config.Config `embed:""`

	JSON bool `name:"json" help:"Print JSON."`
}

func (*configCommand) Help() string {
	return `Takes the flags of serve and validates the settings as serve does. Secrets are not printed. Warnings
about settings that are valid, but unlikely to do what you expect, go to standard error.

Examples:

  schoolbell config
  SCHOOLBELL_KAFKA_BROKERS=kafka:9092 schoolbell config --json`
}

func (c *configCommand) Run(parsed *kong.Context, io streams) error {
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	for _, advice := range c.Advice() {
		fmt.Fprintf(io.err, "schoolbell: %s\n", advice)
	}
	settings := config.Settings(parsed)
	if c.JSON {
		return printJSON(io.out, settings)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FLAG\tVARIABLE\tVALUE\tFROM")
	for _, s := range settings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Flag, s.Variable, s.Value, s.From)
	}
	return w.Flush()
}
