package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/gzip"

	"github.com/schoolbell/schoolbell/ingest/imports"
)

const (
	importsPath = schoolPath + "/imports"
	packageType = "application/x-ndjson"
	// importLimit is how long a plan may take to be made, and to be begun.
	importLimit = 2 * time.Minute
)

// importRoutes let an office bring in what another system holds of the school: a package becomes a
// plan, which is looked at and then applied or cancelled. Whoever may publish events may do so.
func (a *API) importRoutes() {
	responses := a.problems("400", "401", "403", "408", "413", "415", "429", "503")
	plan := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[imports.Plan](), true, "")
	responses["201"] = &huma.Response{
		Description: "The plan. Nothing has changed yet.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: plan}},
	}
	adopt := param("adopt", "query", "true: rows of other sources that the package does not have end too.")
	adopt.Schema = &huma.Schema{Type: huma.TypeBoolean}
	a.route(&huma.Operation{
		OperationID: "plan-import", Method: http.MethodPost, Path: importsPath,
		Tags:    []string{tagImports},
		Summary: "Compare a package with the tables",
		Description: "The package is NDJSON, a header and a row per line, as docs/IMPORTS.md " +
			"describes it; at most " + strconv.Itoa(imports.MaxPacked>>20) + " MiB compressed with " +
			"gzip. The response is the plan: what is added, changed and ended, which rows are " +
			"refused, and the consents it needs. The same package against the same tables is the same " +
			"plan. A plan that is not applied is forgotten after a week.",
		Parameters: []*huma.Param{schoolParam(), adopt},
		RequestBody: &huma.RequestBody{
			Required: true,
			Content:  map[string]*huma.MediaType{packageType: {Schema: &huma.Schema{Type: huma.TypeString}}},
		},
		Responses: responses,
	}, needWrite, a.planImport)
	handle(a, huma.Operation{
		OperationID: "list-imports", Method: http.MethodGet, Path: importsPath,
		Tags:    []string{tagImports},
		Summary: "List the imports", Description: "The newest first.",
	}, needWrite, a.listImports)
	handle(a, huma.Operation{
		OperationID: "show-import", Method: http.MethodGet, Path: importsPath + "/{id}",
		Tags: []string{tagImports}, Summary: "Show an import", Errors: []int{404},
	}, needWrite, a.showImport)
	handle(a, huma.Operation{
		OperationID: "apply-import", Method: http.MethodPost, Path: importsPath + "/{id}/apply",
		Tags:    []string{tagImports},
		Summary: "Apply a plan",
		Description: "Its events are written in order, for about fifteen seconds. 202 while the state " +
			"is applying: send the request again, and it goes on from there; written says how many " +
			"of the total are in the log. So it does after a crash; nothing counts twice. 409 when rows " +
			"have changed since the plan was made (the detail names the plan that was made in its place), " +
			"when the plan asks for a consent that the body does not give, or when another import of the " +
			"source is being applied: nothing was written then. 409 too when the import was cancelled.",
		Responses: map[string]*huma.Response{"202": {
			Description: "The events are not all written yet.",
			Headers: map[string]*huma.Param{"Retry-After": {
				Description: "In seconds: when to send the request again",
				Schema:      &huma.Schema{Type: huma.TypeInteger},
			}},
			Content: map[string]*huma.MediaType{"application/json": {Schema: plan}},
		}},
		Errors: []int{404, 409},
	}, needWrite, a.applyImport)
	handle(a, huma.Operation{
		OperationID: "cancel-import", Method: http.MethodPost, Path: importsPath + "/{id}/cancel",
		Tags:    []string{tagImports},
		Summary: "Cancel an import",
		Description: "It writes no more, and other imports of its source may begin. What it has written " +
			"stays in the log: the package said so. 409 when it is applied.",
		Errors: []int{404, 409},
	}, needWrite, a.cancelImport)
	a.route(&huma.Operation{
		OperationID: "show-import-events", Method: http.MethodGet, Path: importsPath + "/{id}/events",
		Tags:        []string{tagImports},
		Summary:     "Show the events of a plan",
		Description: "As NDJSON of structured CloudEvents, in order; none when it is applied.",
		Parameters:  []*huma.Param{schoolParam(), param("id", "path", "The import's id.")},
		Responses: a.withContent(a.problems("400", "401", "403", "404", "429", "503"),
			packageType),
	}, needWrite, a.showImportEvents)
}

// withContent adds a response of a text.
func (a *API) withContent(
	responses map[string]*huma.Response, mediaType string,
) map[string]*huma.Response {
	responses["200"] = &huma.Response{
		Description: "The events.",
		Content:     map[string]*huma.MediaType{mediaType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	return responses
}

func (a *API) planImport(w http.ResponseWriter, r *http.Request) error {
	req := requestOf(r.Context())
	adopt, err := strconv.ParseBool(cmp.Or(r.URL.Query().Get("adopt"), "false"))
	if err != nil {
		return wrongParameter("adopt", "must be true or false")
	}
	release, err := a.deps.Imports.Reserve(req.school)
	if err != nil {
		return importProblem(err)
	}
	defer release()
	packed, err := readPackage(w, r)
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(importLimit))
	plan, err := a.deps.Imports.Plan(r.Context(), req.school, req.bearer.Subject, packed, adopt)
	if err != nil {
		return importProblem(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-store")
	w.Header().Set("Location", r.URL.EscapedPath()+"/"+plan.ID)
	w.WriteHeader(http.StatusCreated)
	_ = json.MarshalWrite(w, plan, json.Deterministic(true)) // fails only when the client is gone
	return nil
}

// readPackage reads a body, and compresses it unless it came so.
func readPackage(w http.ResponseWriter, r *http.Request) (packed []byte, err error) {
	arriving := &paced{Reader: r.Body, conn: http.NewResponseController(w), began: time.Now()}
	defer func() { arriving.end(err) }()
	body := http.MaxBytesReader(w, io.NopCloser(arriving), imports.MaxPacked)
	var out bytes.Buffer
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "gzip":
		_, err = out.ReadFrom(body)
	case "", "identity":
		zip := gzip.NewWriter(&out)
		if _, err = io.Copy(zip, body); err == nil {
			err = zip.Close()
		}
	default:
		w.Header().Set("Accept-Encoding", "gzip")
		return nil, problem(http.StatusUnsupportedMediaType, "the only supported compression is gzip")
	}
	if err != nil {
		return nil, bodyError(err)
	}
	return out.Bytes(), nil
}

type importList struct {
	Imports []imports.Plan `json:"imports"`
}

type importListInput struct {
	Limit int           `query:"limit" minimum:"1" maximum:"200" default:"20" doc:"Imports at most"`
	State imports.State `query:"state" enum:"planned,applying,applied,cancelled" doc:"Only those in this state"`
}

func (a *API) listImports(
	ctx context.Context, req *request, in *importListInput,
) (*response[importList], error) {
	plans, err := a.deps.Imports.List(ctx, req.school, req.bearer.Subject, in.Limit, in.State)
	return &response[importList]{importList{plans}}, importProblem(err)
}

type importInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) showImport(
	ctx context.Context, req *request, in *importInput,
) (*response[*imports.Plan], error) {
	plan, _, err := a.deps.Imports.Show(ctx, req.school, req.bearer.Subject, in.ID, false)
	return &response[*imports.Plan]{plan}, importProblem(err)
}

func (a *API) showImportEvents(w http.ResponseWriter, r *http.Request) error {
	req := requestOf(r.Context())
	release, err := a.deps.Imports.Reserve(req.school)
	if err != nil {
		return importProblem(err)
	}
	defer release()
	_, events, err := a.deps.Imports.Show(r.Context(), req.school, req.bearer.Subject,
		r.PathValue("id"), true)
	if err != nil {
		return importProblem(err)
	}
	w.Header().Set("Content-Type", packageType)
	w.Header().Set("Cache-Control", "private, no-store")
	_, _ = w.Write(events) // fails only when the client is gone
	return nil
}

type applyInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		Consent imports.Consents `json:"consent,omitempty" doc:"The ends that are agreed to, by the name that the plan asks for: {\"withdraw\": 12}. The number must be the plan's"`
	}
}

// applied is an import as an application of it has left it.
type applied struct {
	Status     int
	RetryAfter string `header:"Retry-After"`
	Body       *imports.Plan
}

func (a *API) applyImport(
	ctx context.Context, req *request, in *applyInput,
) (*applied, error) {
	// Before it is begun, the plan is made again.
	_ = req.conn.SetWriteDeadline(time.Now().Add(importLimit))
	release, err := a.deps.Imports.Reserve(req.school)
	if err != nil {
		return nil, importProblem(err)
	}
	defer release()
	plan, err := a.deps.Imports.Apply(ctx, req.school, imports.By{
		User: req.bearer.Subject, Author: a.deps.Author(ctx, req.school, req.bearer),
	}, in.ID, in.Body.Consent)
	if err != nil {
		return nil, importProblem(err)
	}
	if plan.State == imports.Applying {
		return &applied{http.StatusAccepted, "1", plan}, nil
	}
	return &applied{http.StatusOK, "", plan}, nil
}

func (a *API) cancelImport(
	ctx context.Context, req *request, in *importInput,
) (*response[*imports.Plan], error) {
	plan, err := a.deps.Imports.Cancel(ctx, req.school, req.bearer.Subject, in.ID)
	return &response[*imports.Plan]{plan}, importProblem(err)
}

// importProblem translates the errors of imports.
func importProblem(err error) error {
	var behind *imports.BehindError
	var guard *imports.GuardError
	var broken *imports.PackageError
	var busy *imports.BusyError
	var moved *imports.MovedError
	var cancelled *imports.CancelledError
	var done *imports.AppliedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, imports.ErrUnknown):
		return problem(http.StatusNotFound, "%s", imports.ErrUnknown)
	case errors.Is(err, imports.ErrPlanning):
		return unavailable(err, 2*time.Second, "%s", imports.ErrPlanning)
	case errors.Is(err, imports.ErrParked):
		return problem(http.StatusConflict, "%s", imports.ErrParked)
	case errors.As(err, &behind):
		return unavailable(err, 2*time.Second, "%s", behind)
	case errors.As(err, &broken):
		return problem(http.StatusBadRequest, "%s", broken)
	case errors.As(err, &busy):
		return problem(http.StatusConflict, "%s", busy)
	case errors.As(err, &moved):
		return problem(http.StatusConflict, "%s", moved)
	case errors.As(err, &cancelled):
		return problem(http.StatusConflict, "%s", cancelled)
	case errors.As(err, &done):
		return problem(http.StatusConflict, "%s", done)
	case errors.As(err, &guard):
		p := problem(http.StatusConflict, "the import ends more than it may without a consent")
		for _, ask := range guard.Asks {
			pointer := "/consent/" + ask.Consent
			p.Errors = append(p.Errors, ProblemError{Pointer: &pointer, Reason: "must be " +
				strconv.FormatInt(ask.Count, 10) + ", of " + strconv.FormatInt(ask.Held, 10) + ": " +
				ask.Reason})
		}
		return p
	}
	return err
}
