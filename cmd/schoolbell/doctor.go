package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
)

type doctorCommand struct {
	tablesTarget `embed:""`

	Kafka config.Kafka `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (default: that of the serve on the data directory)"`
	JSON  bool         `name:"json" help:"Print JSON."`

	JWTSecret string `name:"jwt-secret" env:"SCHOOLBELL_JWT_SECRET" secret:"" placeholder:"SECRET" help:"As serve has it; here only whether it is set counts."`
	LinkKey   string `name:"documents-link-key" env:"SCHOOLBELL_DOCUMENTS_LINK_KEY" secret:"" placeholder:"SECRET" help:"As serve has it; here only whether it is set counts."`
}

func (*doctorCommand) Help() string {
	return `Compares the log, the database and the settings of this machine, and says what is wrong, worst first, each with
what to do. It changes nothing, and needs no running serve: without one, name the servers.

Exits with 0 when nothing is wrong or only notes are printed, and with 1 otherwise.

Examples:

  schoolbell doctor
  schoolbell doctor --database-url postgres://owner:secret@db:5432/schoolbell --kafka-brokers kafka:9092`
}

// severity orders findings.
type severity string

const (
	severe  severity = "error"   // something does not work, or would lose or double something
	warning severity = "warning" // something is not protected against a fault
	note    severity = "note"    // something waits for somebody
)

func (s severity) rank() int { return slices.Index([]severity{severe, warning, note}, s) }

// finding is one thing that is wrong.
type finding struct {
	Severity severity `json:"severity"`
	Subject  string   `json:"subject"` // log, database, schema, messages, secrets or clocks
	Problem  string   `json:"problem"`
	Do       string   `json:"do"`
}

// diagnosis gathers findings.
type diagnosis struct{ findings []finding }

func (d *diagnosis) add(s severity, subject, do, format string, args ...any) {
	d.findings = append(d.findings, finding{s, subject, fmt.Sprintf(format, args...), do})
}

func (c *doctorCommand) Run(ctx context.Context, io streams) error {
	d := &diagnosis{findings: []finding{}}
	if err := c.examine(ctx, d); err != nil {
		return err
	}
	slices.SortStableFunc(d.findings, func(a, b finding) int {
		return a.Severity.rank() - b.Severity.rank()
	})
	if err := c.print(io, d.findings); err != nil {
		return err
	}
	if slices.ContainsFunc(d.findings, func(f finding) bool { return f.Severity != note }) {
		return exitCode(exitFailed)
	}
	return nil
}

func (c *doctorCommand) print(io streams, findings []finding) error {
	if c.JSON {
		return printJSON(io.out, findings)
	}
	if len(findings) == 0 {
		_, err := fmt.Fprintln(io.out, "Nothing is wrong.")
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n\t\t→ %s\n", f.Severity, f.Subject, printable(f.Problem), f.Do)
	}
	return w.Flush()
}
