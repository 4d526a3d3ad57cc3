package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/consumers/logo"
)

// Logos stores the logos of schools; see [logo.Service].
type Logos interface {
	Get(ctx context.Context, school string) (picture []byte, hash string, err error)
	Put(ctx context.Context, school, actor string, upload []byte) (hash string, err error)
	Remove(ctx context.Context, school, actor string) error
}

// StoredLogo identifies an uploaded logo.
type StoredLogo struct {
	SHA256 string `json:"sha256" doc:"The hash of the picture as stored"`
}

// logoRoutes manage the picture at the head of a school's documents. Bodies are pictures, which
// huma does not read.
func (a *API) logoRoutes() {
	const path = schoolPath + "/logo"
	picture := func(types ...string) map[string]*huma.MediaType {
		content := map[string]*huma.MediaType{}
		for _, t := range types {
			content[t] = &huma.MediaType{Schema: &huma.Schema{
				Type:   huma.TypeString,
				Format: "binary",
			}}
		}
		return content
	}
	responses := a.problems("400", "401", "403", "404", "429", "503")
	responses["200"] = &huma.Response{Description: "The picture.", Content: picture("image/png")}
	responses["304"] = &huma.Response{Description: "The caller's picture, named in " +
		"If-None-Match, is current."}
	a.route(&huma.Operation{
		OperationID: "get-logo", Method: http.MethodGet, Path: path, Tags: []string{tagSettings},
		Summary: "Get a school's logo", Parameters: []*huma.Param{schoolParam()},
		Responses: responses,
	}, needMember, a.getLogo)

	responses = a.problems("400", "401", "403", "408", "413", "422", "429", "503")
	responses["200"] = &huma.Response{
		Description: "The logo is stored.",
		Content: map[string]*huma.MediaType{
			"application/json": {Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[StoredLogo](), true, "")},
		},
	}
	a.route(&huma.Operation{
		OperationID: "put-logo", Method: http.MethodPut, Path: path, Tags: []string{tagSettings},
		Summary: "Upload a school's logo",
		Description: "A PNG, JPEG, GIF or WebP picture of at most " +
			strconv.Itoa(logo.MaxBytes>>20) + " MiB and " +
			strconv.Itoa(logo.MaxPixels>>20) +
			" million pixels. It is scaled down to what documents need, stored as PNG, and used " +
			"in documents of events from now on.",
		Parameters: []*huma.Param{schoolParam()},
		RequestBody: &huma.RequestBody{
			Required: true,
			Content:  picture("image/png", "image/jpeg", "image/gif", "image/webp"),
		},
		Responses: responses,
	}, needAdmin, a.putLogo)

	responses = a.problems("400", "401", "403", "429", "503")
	responses["204"] = &huma.Response{Description: "The school has no logo."}
	a.route(&huma.Operation{
		OperationID: "delete-logo", Method: http.MethodDelete, Path: path,
		Tags:        []string{tagSettings},
		Summary:     "Remove a school's logo",
		Description: "Documents that exist already are not changed.",
		Parameters:  []*huma.Param{schoolParam()}, Responses: responses,
	}, needAdmin, func(w http.ResponseWriter, r *http.Request) error {
		if err := a.deps.Logos.Remove(r.Context(), r.PathValue("school"),
			requestOf(r.Context()).bearer.Subject); err != nil {
			return unavailable(err, time.Second, "the logo cannot be removed at the moment")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (a *API) getLogo(w http.ResponseWriter, r *http.Request) error {
	picture, hash, err := a.deps.Logos.Get(r.Context(), r.PathValue("school"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return problem(http.StatusNotFound, "this school has no logo")
	case err != nil:
		return unavailable(err, time.Second, "the logo cannot be read at the moment")
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "private, max-age=300")
	w.Header().Set("Etag", strconv.Quote(hash))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(picture))
	return nil
}

func (a *API) putLogo(w http.ResponseWriter, r *http.Request) error {
	// The picture is decoded as a whole, so its size is limited before anything looks into it.
	memory, err := a.bodies.claim(r.PathValue("school"))
	if err != nil {
		return err
	}
	defer memory.release()
	arriving := &paced{Reader: r.Body, conn: http.NewResponseController(w), began: time.Now()}
	upload, err := memory.readAll(arriving, r.ContentLength, logo.MaxBytes)
	arriving.end(err)
	if err != nil {
		return err
	}
	hash, err := a.deps.Logos.Put(r.Context(), r.PathValue("school"),
		requestOf(r.Context()).bearer.Subject, upload)
	switch {
	case errors.Is(err, logo.ErrTooLarge), errors.Is(err, logo.ErrUnreadable):
		return problem(http.StatusUnprocessableEntity, "%s", err)
	case err != nil:
		return unavailable(err, time.Second, "the logo cannot be stored at the moment")
	}
	w.Header().Set("Content-Type", "application/json")
	return json.MarshalWrite(w, StoredLogo{SHA256: hash})
}
