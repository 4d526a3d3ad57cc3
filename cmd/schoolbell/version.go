package main

import (
	"fmt"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
)

type versionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *versionCommand) Run(io streams) error {
	b := program.ThisBuild()
	if c.JSON {
		return printJSON(io.out, b)
	}
	_, err := fmt.Fprintf(io.out, "schoolbell %s (%.12s) %s %s\n", b.Version, b.Revision, b.Go, b.Platform)
	return err
}
