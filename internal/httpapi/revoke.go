package httpapi

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// defaultTokenLifetime is how long a revocation lasts by default. A token that lives longer is
// valid again afterwards.
const defaultTokenLifetime = 30 * 24 * time.Hour

// revokeRoute adds the route that refuses tokens before they expire.
func (a *API) revokeRoute() {
	text := func(name, in, description string) *huma.Param {
		return &huma.Param{Name: name, In: in, Required: in == "path", Description: description,
			Schema: &huma.Schema{Type: huma.TypeString}}
	}
	responses := a.problems("400", "401", "403", "503")
	responses["204"] = &huma.Response{Description: "The tokens are refused."}
	a.route(&huma.Operation{
		OperationID: "revoke-tokens", Method: http.MethodDelete,
		Path: schoolPath + "/users/{user}/tokens", Tags: []string{tagLive},
		Summary: "Revoke the tokens of a user",
		Description: "All tokens issued until now, or the one with an id, are refused by every " +
			"process within two seconds, and their " +
			"live connections end. Tokens issued later are valid: make sure that the identity " +
			"provider issues none.",
		Parameters: []*huma.Param{
			schoolParam(), text("user", "path", "The sub of the user's tokens."),
			text("id", "query", "The jti of one token. Without it, all are revoked."),
			text("for", "query", "How long the revocation lasts, for example 24h: at least the "+
				"lifetime of your tokens. Default 720h."),
		},
		Responses: responses,
	}, needAdmin, func(w http.ResponseWriter, r *http.Request) error {
		lifetime := defaultTokenLifetime
		if given := r.URL.Query().Get("for"); given != "" {
			var err error
			if lifetime, err = time.ParseDuration(given); err != nil || lifetime <= 0 {
				return problem(http.StatusBadRequest, "for must be a duration, for example 24h")
			}
		}
		now := a.deps.Now()
		revocation := auth.Revocation{
			School: r.PathValue("school"), User: r.PathValue("user"),
			TokenID: r.URL.Query().Get("id"), At: now, Until: now.Add(lifetime),
		}
		if err := a.deps.Revoke(r.Context(), revocation); err != nil {
			return unavailable(err, time.Second,
				"this process refuses the tokens, but the others could not be reached yet; try "+
					"again")
		}
		a.deps.Logger.InfoContext(r.Context(), "revoked tokens", "school", revocation.School,
			"user", revocation.User,
			"token", revocation.TokenID, "by", requestOf(r.Context()).bearer.Subject)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}
