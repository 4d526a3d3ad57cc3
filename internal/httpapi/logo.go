package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/consumers/logo"
)

// Logos keeps the pictures of schools, as [logo.Service] does.
type Logos interface {
	Get(ctx context.Context, school string) (picture []byte, hash string, err error)
	Put(ctx context.Context, school, actor string, upload []byte) (hash string, err error)
	Remove(ctx context.Context, school, actor string) error
}

// StoredLogo names a picture that is kept.
type StoredLogo struct {
	SHA256 string `json:"sha256" doc:"The hash of the picture as it is kept"`
}

// logoRoutes let a school say which picture stands at the head of its documents. Its bodies are not huma's to read.
func (a *API) logoRoutes() {
	const path = schoolPath + "/logo"
	picture := func(types ...string) map[string]*huma.MediaType {
		content := map[string]*huma.MediaType{}
		for _, t := range types {
			content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		}
		return content
	}
	responses := a.problems("400", "401", "403", "404", "503")
	responses["200"] = &huma.Response{Description: "The picture.", Content: picture("image/png")}
	responses["304"] = &huma.Response{Description: "It is the one that was named in If-None-Match."}
	a.route(&huma.Operation{
		OperationID: "get-logo", Method: http.MethodGet, Path: path, Tags: []string{tagSettings},
		Summary: "Read a school's logo", Parameters: []*huma.Param{schoolParam()}, Responses: responses,
	}, needMember, a.getLogo)

	responses = a.problems("400", "401", "403", "413", "422", "503")
	responses["200"] = &huma.Response{Description: "It is kept.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[StoredLogo](), true, "")},
	}}
	a.route(&huma.Operation{
		OperationID: "put-logo", Method: http.MethodPut, Path: path, Tags: []string{tagSettings},
		Summary: "Upload a school's logo",
		Description: "Takes a PNG, JPEG, GIF or WebP picture of at most " + strconv.Itoa(logo.MaxBytes>>20) + " MiB and " +
			strconv.Itoa(logo.MaxPixels>>20) + " million pixels. It is made as small as documents need it and kept as PNG, and stands on " +
			"those that are made of events from now on.",
		Parameters:  []*huma.Param{schoolParam()},
		RequestBody: &huma.RequestBody{Required: true, Content: picture("image/png", "image/jpeg", "image/gif", "image/webp")},
		Responses:   responses,
	}, needAdmin, a.putLogo)

	responses = a.problems("400", "401", "403", "503")
	responses["204"] = &huma.Response{Description: "There is none any more."}
	a.route(&huma.Operation{
		OperationID: "delete-logo", Method: http.MethodDelete, Path: path, Tags: []string{tagSettings},
		Summary: "Remove a school's logo", Description: "Documents that have been made keep it.",
		Parameters: []*huma.Param{schoolParam()}, Responses: responses,
	}, needAdmin, func(w http.ResponseWriter, r *http.Request) error {
		if err := a.deps.Logos.Remove(r.Context(), r.PathValue("school"), requestOf(r.Context()).bearer.Subject); err != nil {
			return unavailable(err, time.Second, "the logo cannot be removed now")
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
		return unavailable(err, time.Second, "the logo cannot be read now")
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "private, max-age=300")
	w.Header().Set("Etag", strconv.Quote(hash))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(picture))
	return nil
}

func (a *API) putLogo(w http.ResponseWriter, r *http.Request) error {
	upload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, logo.MaxBytes))
	if err != nil {
		if tooLarge, is := errors.AsType[*http.MaxBytesError](err); is {
			return tooLarge
		}
		return problem(http.StatusBadRequest, "the body cannot be read")
	}
	hash, err := a.deps.Logos.Put(r.Context(), r.PathValue("school"), requestOf(r.Context()).bearer.Subject, upload)
	switch {
	case errors.Is(err, logo.ErrTooLarge), errors.Is(err, logo.ErrUnreadable):
		return problem(http.StatusUnprocessableEntity, "%s", err)
	case err != nil:
		return unavailable(err, time.Second, "the logo cannot be kept now")
	}
	w.Header().Set("Content-Type", "application/json")
	return json.MarshalWrite(w, StoredLogo{SHA256: hash})
}
