package httpapi

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/projections/cache"
	"github.com/schoolbell/schoolbell/projections/query"
)

const csvType = "text/csv"

// format is how a query's result is requested: as JSON, or one of its tables as CSV.
type format struct {
	table *query.Table // nil is JSON
	// whole says that no page was named, so that all rows are written
	whole bool
}

// chooseFormat takes out of a request what says in which format the result is to be. Queries are about
// the result and have no such parameters; a live client's result is within a message, and JSON.
func chooseFormat(info query.Info) func(*http.Request) error {
	return func(r *http.Request) (err error) {
		req := requestOf(r.Context())
		if !req.live {
			req.format, err = formatOf(r, info.Tables)
		}
		return err
	}
}

func formatOf(r *http.Request, tables []*query.Table) (f format, err error) {
	parameters := r.URL.Query()
	name, table := parameters.Get("format"), parameters.Get("table")
	asCSV := name == "csv" || name == "" && prefersCSV(r.Header.Values("Accept"))
	failed := problem(http.StatusUnprocessableEntity, "some parameters are invalid")
	wrong := func(parameter, reason string) {
		failed.Errors = append(failed.Errors,
			ProblemError{Parameter: "query." + parameter, Reason: reason})
	}
	if parameters.Has("format") && name != "csv" && name != "json" {
		wrong("format", "must be json or csv")
	}
	at := slices.IndexFunc(tables, func(t *query.Table) bool { return t.Name == table })
	switch {
	case !parameters.Has("table"):
		at = 0
	case !asCSV:
		wrong("table", "is for CSV: JSON has all tables")
	case at < 0:
		wrong("table", "must be one of "+strings.Join(tableNames(tables), ", "))
	}
	if len(failed.Errors) > 0 {
		return f, failed
	}
	parameters.Del("format")
	parameters.Del("table")
	r.URL.RawQuery = parameters.Encode()
	if asCSV {
		f = format{tables[at], !parameters.Has("limit")}
	}
	return f, nil
}

func tableNames(tables []*query.Table) []string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	return names
}

// prefersCSV reads the header Accept. JSON is served to those who want either.
func prefersCSV(accept []string) bool {
	quality := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		quality[kind] = 1
		if q, err := strconv.ParseFloat(parameters["q"], 64); err == nil {
			quality[kind] = q
		}
	}
	return quality[csvType] > max(quality["application/json"], quality["application/*"])
}

// describeFormats adds to a query's operation that it has results as CSV.
func describeFormats(op *huma.Operation, tables []*query.Table) {
	names := make([]any, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "format", In: "query",
		Description: "csv writes one table of the result as CSV, as Accept: text/csv does.",
		Schema:      &huma.Schema{Type: huma.TypeString, Enum: []any{"json", "csv"}, Default: "json"},
	}, &huma.Param{
		Name: "table", In: "query",
		Description: "Which part of the result to write as CSV: one of its lists, or its summary, " +
			"the members that are in no list.",
		Schema: &huma.Schema{Type: huma.TypeString, Enum: names, Default: names[0]},
	})
	op.Responses["200"].Content[csvType] = &huma.MediaType{Schema: &huma.Schema{
		Type: huma.TypeString, Description: "RFC 4180 in UTF-8, with the names of the columns in " +
			"the first row. Members of objects are columns like totals.present; lists within a " +
			"row are JSON. Without limit it has all rows, from one snapshot, however many pages " +
			"they fill; with it the header Link names the next page. Texts that a spreadsheet " +
			"would take for a formula begin with an apostrophe.",
	}}
}

// serveRows responds with a table of a query's result as CSV. It is written while it is read, so
// that it may have any size, and is not cached.
func (a *API) serveRows(
	ctx context.Context, q query.Request, scope query.Scope, minPosition domain.Position,
) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		req := requestOf(ctx)
		out := &rows{a: a, w: w, q: q, format: req.format, url: *r.URL}
		err := a.await(ctx, minPosition)
		for try := 1; err == nil; try++ {
			var v *viewer
			if v, err = a.viewer(ctx, req, q, scope.Today, minPosition); err != nil {
				break
			}
			var got result
			read := func(tx pgx.Tx, scope query.Scope, of cache.Snapshot) error {
				at := domain.Position{Partition: minPosition.Partition, Offset: of.Offset}
				return out.write(ctx, tx, scope, &got, at)
			}
			err = a.snapshot(ctx, minPosition, scope, v, q, &got, read)
			if errors.Is(err, errScopeMoved) && try < maxScopeTries {
				a.directories.forget(directoryKey{req.school, req.bearer.Subject})
				err = nil
				continue
			}
			if out.begun && v.showsPeople(q) {
				a.note(req, req.school, thingOf(q, req.url), audit.REST, false)
			}
			break
		}
		if err == nil {
			return
		}
		if errors.Is(err, query.ErrDenied) {
			a.note(req, req.school, thingOf(q, req.url), audit.REST, true)
		}
		if out.begun {
			if ctx.Err() == nil { // the client is still there
				a.deps.Logger.WarnContext(ctx, "a table was cut off", "query", q.Info.Name,
					"school", req.school, "request", req.id, "error", err)
			}
			panic(http.ErrAbortHandler) // a table that is cut off must not look like a whole one
		}
		if failed, ok := errors.AsType[*queryError](err); ok {
			err = failed.problem(a.deps.LogID)
		}
		problemOf(err).write(w, r)
	}}
}

// rows is a CSV response.
type rows struct {
	a      *API
	w      http.ResponseWriter
	q      query.Request
	format format
	url    url.URL
	begun  bool // the header was sent, or as good as that
}

// write writes the rows that a snapshot has.
func (o *rows) write(
	ctx context.Context, tx pgx.Tx, scope query.Scope, got *result, at domain.Position,
) error {
	// A page that is named comes with a header that says where it ends, so its rows wait for it.
	var page [][]string
	sink := csv.NewWriter(o.w)
	sink.UseCRLF = true
	begin := func(next string) {
		o.begun = true
		h := o.w.Header()
		h.Set("Content-Type", csvType+"; charset=utf-8; header=present")
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.csv"`,
			o.q.Info.Name, o.format.table.Name))
		h.Set("Cache-Control", "private, no-cache")
		h.Add("Vary", "Authorization")
		h.Add("Vary", "Accept")
		h.Set("X-Cache", "bypass")
		if next != "" {
			h.Set("Link", "<"+o.page(next)+`>; rel="next"`)
		}
		got.describe(h, o.a.deps.LogID.At(at))
	}
	next, err := o.q.Rows(ctx, tx, scope, o.format.table, o.format.whole, func(r []string) error {
		if !o.format.whole {
			page = append(page, r)
			return nil
		}
		if !o.begun {
			begin("")
		}
		return sink.Write(r)
	})
	if err != nil {
		return err
	}
	if !o.format.whole {
		begin(next)
		return sink.WriteAll(page)
	}
	sink.Flush()
	return sink.Error()
}

// page is the address of the page after a cursor.
func (o *rows) page(next string) string {
	parameters := o.url.Query()
	parameters.Set(o.format.table.Cursor, next)
	parameters.Set("format", "csv")
	if o.format.table != o.q.Info.Tables[0] {
		parameters.Set("table", o.format.table.Name)
	}
	o.url.RawQuery = parameters.Encode()
	return o.url.RequestURI()
}
