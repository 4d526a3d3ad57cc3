package main

import (
	"io"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/licenses"
)

type licensesCommand struct{}

func (*licensesCommand) Help() string {
	return `Schoolbell itself is under the Apache License 2.0. Prints the modules that this binary contains, and
their licences and notices.`
}

func (*licensesCommand) Run(s streams) error {
	_, err := io.WriteString(s.out, licenses.Notices)
	return err
}
