package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/client"
)

type importCommand struct {
	EdFi    importEdFiCommand    `cmd:"" name:"edfi" help:"Import a directory of Ed-Fi XML interchange files."`
	Package importPackageCommand `cmd:"" help:"Import a package of rows, as a converter of another format writes it."`
	List    importListCommand    `cmd:"" help:"List the imports of a school, and how far they are."`
	Apply   importApplyCommand   `cmd:"" help:"Apply a plan, or finish an import that was cut off."`
	Cancel  importCancelCommand  `cmd:"" help:"Cancel an import that is not applied."`
}

func (*importCommand) Help() string {
	return `An import compares an export of another system with the tables, and writes what differs as events. With --dry-run it
only makes the plan, which apply applies within a week. Importing the same export again writes nothing, and an import
that was cut off is finished by the next one of the same source.`
}

// importOptions are those of every import.
type importOptions struct {
	remote `embed:""`

	DryRun bool     `name:"dry-run" help:"Only print what would change."`
	Plan   string   `placeholder:"FILE" help:"Write the events of the plan to a file, as NDJSON."`
	Adopt  bool     `help:"Take over what is of other sources: change it, and end what the export does not have."`
	Yes    []string `placeholder:"WHAT:N" help:"Agree to ends that need consent: withdraw:N students, leave:N members of staff, unlink:N guardians, close:N classes, drop:N students from classes, release:N staff from classes."`
	JSON   bool     `name:"json" help:"Print the report as JSON."`
}

type importEdFiCommand struct {
	importOptions `embed:""`

	Dir string `arg:"" type:"existingdir" help:"Directory with the files."`
}

func (*importEdFiCommand) Help() string {
	return `The directory holds the Ed-Fi bulk interchange files of one district (StudentEnrollment.xml, Parent.xml
and so on), of any version from 3.x on. They are compared with the tables; what differs becomes events.
What is no longer in the files ends, if an import of Ed-Fi files began it. Importing the same files
again changes nothing. A server takes the events of a school as fast as it processes them; the import
waits, and goes on.

Many ends at once, or ends next to rows whose id cannot be read, need --yes with their number: a file
may be cut off or of another year. The exit code is 0 when everything was imported, 1 when rows were
refused, 3 when --yes is needed and nothing was changed.

Examples:

  schoolbell import edfi ./interchange --dry-run
  schoolbell import edfi ./interchange --yes=withdraw:212`
}

// exitGuard says that an import needs --yes, and has changed nothing.
const exitGuard = 3

func (c *importEdFiCommand) Run(ctx context.Context, io streams) error {
	run, err := c.begin(io.err)
	if err != nil {
		return err
	}
	defer run.api.Close()
	var report *edfi.Report
	run.source = edfi.Source
	if run.packages, report, err = convert(ctx, io.err, c.Dir); err != nil {
		return err
	}
	return c.run(ctx, io.out, run, report)
}

type importPackageCommand struct {
	importOptions `embed:""`

	School schoolID `arg:"" help:"School that the package is of."`
	File   string   `arg:"" type:"existingfile" help:"The package: NDJSON, as it is or compressed with gzip."`
}

func (*importPackageCommand) Help() string {
	return `The first line of a package is its header, with the source and the kinds of rows that it has all of; every other line is
a row. docs/IMPORTS.md describes them. The exit codes are those of import edfi.

Example:

  schoolbell import package north ./north.ndjson --dry-run`
}

func (c *importPackageCommand) Run(ctx context.Context, io streams) error {
	run, err := c.begin(io.err)
	if err != nil {
		return err
	}
	defer run.api.Close()
	packed, err := readPackage(c.File)
	if err != nil {
		return err
	}
	header, err := imports.HeaderOf(packed)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	run.source, run.packages = header.Source, map[string][]byte{string(c.School): packed}
	return c.run(ctx, io.out, run, nil)
}

// readPackage reads a file, and compresses it unless it is.
func readPackage(name string) ([]byte, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the package: %w", err)
	}
	if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		return content, nil
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(content) // a buffer does not fail
	_ = zip.Close()
	return packed.Bytes(), nil
}

// begin checks the options before anything is read.
func (c *importOptions) begin(progress io.Writer) (*importRun, error) {
	given, err := consentsOf(c.Yes)
	if err != nil {
		return nil, usageError{err}
	}
	api, err := c.importClient()
	if err != nil {
		return nil, err
	}
	return &importRun{
		api: api, adopt: c.Adopt, given: given, progress: progress,
		plans: make(map[string]*imports.Plan),
	}, nil
}

// importClient has the patience that the plan of a large school takes.
func (r remote) importClient() (*client.Client, error) {
	target, err := r.target()
	if err != nil {
		return nil, err
	}
	target.HTTP = &http.Client{Timeout: 3 * time.Minute}
	api, err := client.New(target)
	if err != nil {
		return nil, usageError{err}
	}
	return api, nil
}

// run plans and applies packages, and reports on them and on the files that they were made of.
func (c *importOptions) run(
	ctx context.Context, out io.Writer, run *importRun, report *edfi.Report,
) error {
	if err := run.plan(ctx); err != nil {
		return err
	}
	if c.Plan != "" {
		if err := run.save(ctx, c.Plan); err != nil {
			return err
		}
	}
	asks := run.asks()
	if !c.DryRun && len(asks) == 0 {
		var err error
		if asks, err = run.apply(ctx); err != nil {
			return err
		}
	}
	if err := c.print(out, report, run, asks); err != nil {
		return err
	}
	switch {
	case len(asks) > 0:
		return exitCode(exitGuard)
	case report != nil && !report.Whole() || run.refused() > 0:
		return exitCode(exitFailed)
	}
	return nil
}

// consentsOf parses --yes.
func consentsOf(yes []string) (imports.Consents, error) {
	given := imports.Consents{}
	for _, one := range yes {
		what, number, _ := strings.Cut(one, ":")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || !slices.Contains(imports.ConsentNames(), what) {
			return nil, fmt.Errorf("--yes=%s: want WHAT:N, with one of %s", one,
				strings.Join(imports.ConsentNames(), ", "))
		}
		given[what] = n
	}
	return given, nil
}

// convert makes a package for each school of the files.
func convert(ctx context.Context, progressTo io.Writer, dir string) (
	map[string][]byte, *edfi.Report, error,
) {
	bar := progress(progressTo, -1, "reading", true)
	defer func() { _ = bar.Finish() }()
	files, err := edfi.Open(ctx, os.DirFS(dir), func(read, total int64) {
		bar.ChangeMax64(total)
		_ = bar.Set64(read)
	})
	if err != nil {
		return nil, nil, err
	}
	return files.Packages(ctx)
}

// print reports on the files, on the plans, and on the consents that they need.
func (c *importOptions) print(
	w io.Writer, report *edfi.Report, run *importRun, asks []imports.Ask,
) error {
	if c.JSON {
		return printJSON(w, struct {
			Files *edfi.Report             `json:"files,omitzero"`
			Plans map[string]*imports.Plan `json:"plans"`
			Asks  []imports.Ask            `json:"asks"`
		}{report, run.plans, asks})
	}
	if report != nil {
		if err := report.WriteText(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCHOOL\tROWS OF\tADDED\tCHANGED\tUNCHANGED\tENDED\tLEFT TO OTHER SOURCES")
	events, shared := int64(0), int64(0)
	for _, school := range run.schools() {
		plan := run.plans[school]
		events += plan.Total
		for _, kind := range slices.Sorted(maps.Keys(plan.Rows)) {
			n := plan.Rows[kind]
			shared += n.Shared
			if n.Added+n.Changed+n.Unchanged+n.Ended+n.Foreign+n.Shared == 0 {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", school, kind, n.Added, n.Changed,
				n.Unchanged, n.Ended, n.Foreign+n.Shared)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	run.printRefused(t, report)
	if shared > 0 {
		fmt.Fprintf(t, "\n%s about people or classes of other sources, and left to them: --adopt takes "+
			"them over\n", quantity(shared, "row is", "rows are"))
	}
	switch {
	case events == 0:
		fmt.Fprintln(t, "\nNothing differs, and nothing is written")
	case c.DryRun || len(asks) > 0:
		fmt.Fprintf(t, "\n%s would be written\n", quantity(events, "event", "events"))
	default:
		fmt.Fprintf(t, "\n%s in the log\n", quantity(events, "event is", "events are"))
	}
	for _, school := range run.schools() {
		if plan := run.plans[school]; c.DryRun && len(asks) == 0 && plan.Total > 0 {
			fmt.Fprintf(t, "schoolbell import apply %s %s applies the plan\n", school, plan.ID)
		}
	}
	printAsks(t, asks)
	return t.Flush()
}

// printRefused lists the rows that the server refused, and that the report on the files does not.
func (r *importRun) printRefused(t io.Writer, report *edfi.Report) {
	title := "\nREFUSED\tSCHOOL\tROWS OF\tREASON\tAT\n"
	for _, school := range r.schools() {
		for _, refusal := range r.plans[school].Refused {
			if report != nil && report.Names(refusal.Reason) {
				continue
			}
			fmt.Fprintf(t, "%s%d\t%s\t%s\t%s\t%s\n", title, refusal.Count, school, refusal.Kind,
				printable(refusal.Reason), printable(strings.Join(refusal.At, ", ")))
			title = ""
		}
	}
}

// printAsks says which consents are needed.
func printAsks(w io.Writer, asks []imports.Ask) {
	for _, ask := range asks {
		fmt.Fprintf(w, "\n%d of %d would end: %s.\nIf that is right, add --yes=%s:%d\n", ask.Count,
			ask.Held, ask.Reason, ask.Consent, ask.Count)
	}
}
