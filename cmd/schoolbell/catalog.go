package main

import (
	"fmt"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents/schema"
)

type catalogCommand struct {
	Format string `default:"markdown" enum:"json-schema,asyncapi,markdown" help:"${enum}."`
}

func (*catalogCommand) Help() string {
	return `Examples:

  schoolbell catalog
  schoolbell catalog --format json-schema > events.schema.json
  schoolbell catalog --format asyncapi > asyncapi.json`
}

func (c *catalogCommand) Run(io streams) (err error) {
	text := schema.Markdown()
	switch c.Format {
	case "json-schema":
		text, err = schema.JSONSchema()
	case "asyncapi":
		text, err = schema.AsyncAPI(program.ThisBuild().Version)
	}
	if err != nil {
		return fmt.Errorf("describe events: %w", err)
	}
	_, err = io.out.Write(text)
	return err
}
