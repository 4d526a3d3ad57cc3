package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
)

// settingsRoutes let administrators decide what their school tells whom, how and when.
func (a *API) settingsRoutes() {
	const path = schoolPath + "/settings"
	handle(a, huma.Operation{
		OperationID: "get-settings", Method: http.MethodGet, Path: path, Tags: []string{tagSettings},
		Summary: "Read what a school has decided about its deliveries",
		Description: "A school that has decided nothing has an empty object, and gets what each rule does by itself. The ETag is the version, " +
			"to be sent back in If-Match with a change.",
	}, needAdmin, func(ctx context.Context, req *request, _ *empty) (*settingsResponse, error) {
		s, err := a.deps.Consumers.Settings.Current(ctx, req.school)
		if err != nil {
			return nil, err
		}
		return &settingsResponse{versionTag(s.Version), s}, nil
	})
	handle(a, huma.Operation{
		OperationID: "put-settings", Method: http.MethodPut, Path: path, Tags: []string{tagSettings},
		Summary: "Replace a school's settings",
		Description: "Replaces all settings by new ones: what is left out is decided no more. If-Match names the version that they are made " +
			"from; when somebody else has changed it meanwhile, nothing is written (412). Events are planned by the version that was in " +
			"force when they were written. Members that mean nothing, and rules that there are not, are refused.",
		Errors: []int{412, 422, 428},
	}, needAdmin, a.putSettings)
	delete(a.huma.OpenAPI().Paths[path].Put.RequestBody.Content, "application/octet-stream") // what huma makes of RawBody
	handle(a, huma.Operation{
		OperationID: "list-settings", Method: http.MethodGet, Path: path + "/versions", Tags: []string{tagSettings},
		Summary: "See who changed the settings, and when", Description: "The latest 100 versions, the newest first.",
	}, needAdmin, func(ctx context.Context, req *request, _ *empty) (*response[SettingsVersions], error) {
		versions, err := a.deps.Consumers.Settings.Versions(ctx, req.school, 100)
		return &response[SettingsVersions]{SettingsVersions{versions}}, err
	})
}

// SettingsVersions are what a school has decided, one after the other.
type SettingsVersions struct {
	Versions []ledger.SettingsVersion `json:"versions"`
}

type settingsResponse struct {
	ETag string `header:"ETag" doc:"The version"`
	Body *consumers.Settings
}

type settingsInput struct {
	IfMatch string `header:"If-Match" example:"\"3\"" doc:"The ETag of the settings that were read; \"0\" when there were none"`
	RawBody []byte
	Body    consumers.Settings
}

func (a *API) putSettings(ctx context.Context, req *request, in *settingsInput) (*settingsResponse, error) {
	if in.IfMatch == "" {
		return nil, problem(http.StatusPreconditionRequired, "say in If-Match which version of the settings is to be replaced")
	}
	written, err := a.deps.Consumers.Planners.ReadSettings(req.school, in.RawBody)
	if err != nil {
		return nil, err
	}
	version, ok := versionOf(in.IfMatch)
	if ok {
		version, err = a.deps.Consumers.Settings.Replace(ctx, written, version, req.bearer.Subject)
	}
	if !ok || errors.Is(err, ledger.ErrStale) {
		return nil, problem(http.StatusPreconditionFailed, "%s: read them again", ledger.ErrStale)
	}
	if err != nil {
		return nil, err
	}
	return &settingsResponse{versionTag(version), written}, nil
}

func versionTag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// versionOf reads a tag. Compression may have added to its end.
func versionOf(tag string) (int64, bool) {
	tag = strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
	number, _, _ := strings.Cut(tag, "-")
	version, err := strconv.ParseInt(number, 10, 64)
	return version, err == nil && version >= 0
}
