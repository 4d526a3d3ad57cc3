package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/client"
)

type importCommand struct {
	EdFi importEdFiCommand `cmd:"" name:"edfi" help:"Import a directory of Ed-Fi XML interchange files."`
}

type importEdFiCommand struct {
	remote `embed:""`

	Dir    string   `arg:"" type:"existingdir" help:"Directory with the files."`
	DryRun bool     `name:"dry-run" help:"Only print what would change."`
	Plan   string   `placeholder:"FILE" help:"Write the events of the plan to a file, as NDJSON."`
	Adopt  bool     `help:"End rows of other sources too, when the files do not have them."`
	Yes    []string `placeholder:"WHAT:N" help:"Agree to ends that need consent: withdraw:N students, leave:N members of staff, unlink:N guardians, close:N classes, drop:N students from classes, release:N staff from classes."`
	JSON   bool     `name:"json" help:"Print the report as JSON."`
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
	given, err := consentsOf(c.Yes)
	if err != nil {
		return usageError{err}
	}
	target, err := c.target()
	if err != nil {
		return err
	}
	target.HTTP = &http.Client{Timeout: 3 * time.Minute} // a plan of a large school takes a while
	api, err := client.New(target)
	if err != nil {
		return usageError{err}
	}
	defer api.Close()

	packages, report, err := convert(ctx, io.err, c.Dir)
	if err != nil {
		return err
	}
	run := importRun{
		api: api, source: edfi.Source, packages: packages, adopt: c.Adopt, given: given,
		progress: io.err, plans: make(map[string]*imports.Plan),
	}
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
		if asks, err = run.apply(ctx); err != nil {
			return err
		}
	}
	if err := c.print(io.out, report, &run, asks); err != nil {
		return err
	}
	switch {
	case len(asks) > 0:
		return exitCode(exitGuard)
	case !report.Whole() || run.refused() > 0:
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

// importRun is the import of packages of several schools.
type importRun struct {
	api      *client.Client
	source   string
	packages map[string][]byte // by school
	adopt    bool
	given    imports.Consents // for all schools together
	progress io.Writer
	plans    map[string]*imports.Plan
}

func (r *importRun) schools() []string { return slices.Sorted(maps.Keys(r.packages)) }

func importsOf(school string) string { return "/v1/schools/" + url.PathEscape(school) + "/imports" }

// plan finishes what an earlier import has left half done, and makes a plan for each school.
func (r *importRun) plan(ctx context.Context) error {
	bar := progress(r.progress, int64(len(r.packages)), "planning", false)
	defer func() { _ = bar.Finish() }()
	for _, school := range r.schools() {
		var before struct {
			Imports []imports.Plan `json:"imports"`
		}
		if err := r.api.Get(ctx, importsOf(school), &before); err != nil {
			return err
		}
		for _, p := range before.Imports {
			if p.Source == r.source && p.State == imports.Applying {
				err := r.finish(ctx, school, &p, imports.Consents{}, func(int64) {})
				if err != nil {
					return err
				}
			}
		}
		if err := r.planSchool(ctx, school); err != nil {
			return err
		}
		_ = bar.Add(1)
	}
	return nil
}

func (r *importRun) planSchool(ctx context.Context, school string) error {
	var plan imports.Plan
	path := importsOf(school) + "?adopt=" + strconv.FormatBool(r.adopt)
	err := r.api.Upload(ctx, path, "application/x-ndjson", r.packages[school], &plan)
	r.plans[school] = &plan
	return err
}

// asks returns what nobody has agreed to, of all schools: the numbers must be those of all.
func (r *importRun) asks() (left []imports.Ask) {
	sums := map[string]*imports.Ask{}
	for _, school := range r.schools() {
		for _, ask := range r.plans[school].Asks {
			if sum := sums[ask.Consent]; sum != nil {
				sum.Count, sum.Held = sum.Count+ask.Count, sum.Held+ask.Held
			} else {
				sums[ask.Consent] = &ask
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if sums[name].Count != r.given[name] {
			left = append(left, *sums[name])
		}
	}
	return left
}

// apply applies the plans. When rows have changed in between, it makes a new plan, which may ask
// for more than was agreed to.
func (r *importRun) apply(ctx context.Context) ([]imports.Ask, error) {
	total := int64(0)
	for _, plan := range r.plans {
		total += plan.Total
	}
	bar := progress(r.progress, total, "applying", false)
	defer func() { _ = bar.Finish() }()
	for _, school := range r.schools() {
		for try := 0; ; try++ {
			err := r.finish(ctx, school, r.plans[school], r.consents(school),
				func(n int64) { _ = bar.Add64(n) })
			if err == nil {
				break
			}
			p, refused := errors.AsType[*client.Problem](err)
			if !refused || p.Status != http.StatusConflict || try == 2 {
				return nil, err
			}
			if err := r.planSchool(ctx, school); err != nil {
				return nil, err
			}
			if asks := r.asks(); len(asks) > 0 {
				return asks, nil
			}
		}
	}
	return nil, nil
}

// consents are those for one school, once those of all have been agreed to.
func (r *importRun) consents(school string) imports.Consents {
	c := imports.Consents{}
	for _, ask := range r.plans[school].Asks {
		c[ask.Consent] = ask.Count
	}
	return c
}

// finish applies a plan to its end, and stores how it stands.
func (r *importRun) finish(
	ctx context.Context, school string, plan *imports.Plan, given imports.Consents,
	more func(int64),
) error {
	body := map[string]any{"consent": given}
	for plan.State != imports.Applied && plan.Total > 0 {
		was := plan.Written
		err := r.api.PostDocument(ctx, importsOf(school)+"/"+plan.ID+"/apply", body, plan)
		if err != nil {
			return err
		}
		more(plan.Written - was)
	}
	return nil
}

// save writes the events of the plans to a file.
func (r *importRun) save(ctx context.Context, name string) (err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // of persons
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for _, school := range r.schools() {
		path := importsOf(school) + "/" + r.plans[school].ID + "/events"
		if err := r.api.Download(ctx, path, file); err != nil {
			return err
		}
	}
	return nil
}

func (r *importRun) refused() (n int64) {
	for _, plan := range r.plans {
		n += plan.Refused.Count()
	}
	return n
}

// print reports on the files, on the plans, and on the consents that they need.
func (c *importEdFiCommand) print(
	w io.Writer, report *edfi.Report, run *importRun, asks []imports.Ask,
) error {
	if c.JSON {
		return printJSON(w, struct {
			Files *edfi.Report             `json:"files"`
			Plans map[string]*imports.Plan `json:"plans"`
			Asks  []imports.Ask            `json:"asks"`
		}{report, run.plans, asks})
	}
	if err := report.WriteText(w); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSCHOOL\tROWS OF\tADDED\tCHANGED\tUNCHANGED\tENDED\tOF OTHER SOURCES")
	events := int64(0)
	for _, school := range run.schools() {
		plan := run.plans[school]
		events += plan.Total
		for _, kind := range slices.Sorted(maps.Keys(plan.Rows)) {
			n := plan.Rows[kind]
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", school, kind, n.Added, n.Changed,
				n.Unchanged, n.Ended, n.Foreign)
		}
	}
	for _, school := range run.schools() {
		for _, refusal := range run.plans[school].Refused {
			if !report.Names(refusal.Reason) { // of the server alone
				fmt.Fprintf(t, "%s\t%s\t%d refused: %s\t%s\n", school, refusal.Kind, refusal.Count,
					refusal.Reason, strings.Join(refusal.At, ", "))
			}
		}
	}
	done := "are in the log"
	if c.DryRun || len(asks) > 0 {
		done = "would be written"
	}
	fmt.Fprintf(t, "\n%s %s\n", quantity(events, "event", "events"), done)
	for _, ask := range asks {
		fmt.Fprintf(t, "\n%d of %d would end: %s.\nIf that is right, add --yes=%s:%d\n", ask.Count,
			ask.Held, ask.Reason, ask.Consent, ask.Count)
	}
	return t.Flush()
}
