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

// settingsRoutes let administrators configure what their school sends to whom, how and when.
func (a *API) settingsRoutes() {
	const path = schoolPath + "/settings"
	handle(a, huma.Operation{
		OperationID: "get-settings", Method: http.MethodGet, Path: path,
		Tags:    []string{tagSettings},
		Summary: "Get a school's settings",
		Description: "What is absent is left to the default of each rule. The ETag is the " +
			"version; send it in If-Match with a change.",
	}, needAdmin, func(ctx context.Context, req *request, _ *empty) (*settingsResponse, error) {
		s, err := a.deps.Consumers.Settings.Current(ctx, req.school)
		if err != nil {
			return nil, err
		}
		return &settingsResponse{versionTag(s.Version), s}, nil
	})
	handle(a, huma.Operation{
		OperationID: "put-settings", Method: http.MethodPut, Path: path,
		Tags:    []string{tagSettings},
		Summary: "Replace a school's settings",
		Description: "Replaces all settings; what is left out returns to its default, except for the " +
			"logo, which goes only with null. If-Match " +
			"names the version that the change is based on: if another change came first, " +
			"nothing is written (412). Each event is planned by the version in force when it was " +
			"written. Unknown members and rules are refused.",
		Errors: []int{412, 422, 428, 429},
	}, needAdmin, a.putSettings)
	// huma adds it for RawBody
	delete(a.huma.OpenAPI().Paths[path].Put.RequestBody.Content, "application/octet-stream")
	handle(a, huma.Operation{
		OperationID: "list-settings", Method: http.MethodGet, Path: path + "/versions",
		Tags:        []string{tagSettings},
		Summary:     "List the versions of a school's settings",
		Description: "Who changed what, and when: the latest 100 versions, the newest first.",
	}, needAdmin,
		func(ctx context.Context, req *request, _ *empty) (*response[SettingsVersions], error) {
			versions, err := a.deps.Consumers.Settings.Versions(ctx, req.school, 100)
			return &response[SettingsVersions]{SettingsVersions{versions}}, err
		})
}

// SettingsVersions lists versions of a school's settings, the newest first.
type SettingsVersions struct {
	Versions []ledger.SettingsVersion `json:"versions"`
}

type settingsResponse struct {
	ETag string `header:"ETag" doc:"The version"`
	Body *consumers.Settings
}

type settingsInput struct {
	IfMatch string `header:"If-Match" example:"\"3\"" doc:"The ETag that get-settings returned; \"0\" for a school without settings"`
	RawBody []byte
	Body    consumers.Settings
}

func (a *API) putSettings(
	ctx context.Context, req *request, in *settingsInput,
) (*settingsResponse, error) {
	// Without it, two administrators who edit at the same time would overwrite each other silently.
	if in.IfMatch == "" {
		return nil, problem(http.StatusPreconditionRequired,
			"If-Match is required: the ETag of the settings that you replace")
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
		return nil, problem(http.StatusPreconditionFailed, "%s: get them again", ledger.ErrStale)
	}
	if err != nil {
		return nil, err
	}
	return &settingsResponse{versionTag(version), written}, nil
}

func versionTag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// versionOf parses an ETag. Compression in between may have added a suffix.
func versionOf(tag string) (int64, bool) {
	tag = strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
	number, _, _ := strings.Cut(tag, "-")
	version, err := strconv.ParseInt(number, 10, 64)
	return version, err == nil && version >= 0
}
