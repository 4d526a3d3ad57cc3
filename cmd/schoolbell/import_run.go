package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/client"
)

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

// plan finishes what an earlier import has left unfinished, and makes a plan for each school.
func (r *importRun) plan(ctx context.Context) error {
	bar := progress(r.progress, int64(len(r.packages)), "planning", false)
	defer func() { _ = bar.Finish() }()
	for _, school := range r.schools() {
		begun, err := listImports(ctx, r.api, school, imports.Applying)
		if err != nil {
			return err
		}
		for _, p := range begun {
			if p.Source != r.source {
				continue
			}
			err := finishImport(ctx, r.api, school, &p, imports.Consents{}, func(int64) {})
			if err != nil {
				return fmt.Errorf("finish an import that was begun before (`schoolbell import cancel "+
					"%s %s` gives it up): %w", school, p.ID, err)
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
			plan := r.plans[school]
			err := finishImport(ctx, r.api, school, plan, r.consents(school),
				func(n int64) { _ = bar.Add64(n) })
			if err == nil {
				break
			}
			p, refused := errors.AsType[*client.Problem](err)
			// An import that was begun is not moved: somebody has cancelled it.
			if !refused || p.Status != http.StatusConflict || plan.State != imports.Planned || try == 2 {
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
