package httpapi

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// defaultTokenLifetime is how long a revocation is kept unless it is said: tokens that live longer are good again afterwards.
const defaultTokenLifetime = 30 * 24 * time.Hour

// revokeRoute adds what refuses tokens before they expire.
func (a *API) revokeRoute() {
	text := func(name, in, description string) *huma.Param {
		return &huma.Param{Name: name, In: in, Required: in == "path", Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	responses := a.problems("400", "401", "403", "503")
	responses["204"] = &huma.Response{Description: "They are refused."}
	a.route(&huma.Operation{
		OperationID: "revoke-tokens", Method: http.MethodDelete, Path: schoolPath + "/users/{user}/tokens", Tags: []string{tagLive},
		Summary: "Refuse the tokens of a user",
		Description: "All that were issued until now, or the one with an id, are refused everywhere within two seconds, as if they had " +
			"expired, and live connections with them end. Tokens that are issued later are good: see that the user gets none.",
		Parameters: []*huma.Param{
			schoolParam(), text("user", "path", "The sub of the user's tokens."),
			text("id", "query", "The jti of one token; without it, all are refused."),
			text("for", "query", "How long tokens live at most, as 24h: until then the refusal is remembered. Default 720h."),
		},
		Responses: responses,
	}, needAdmin, func(w http.ResponseWriter, r *http.Request) error {
		lifetime := defaultTokenLifetime
		if given := r.URL.Query().Get("for"); given != "" {
			var err error
			if lifetime, err = time.ParseDuration(given); err != nil || lifetime <= 0 {
				return problem(http.StatusBadRequest, "for is a time, as 24h")
			}
		}
		now := a.deps.Now()
		revocation := auth.Revocation{
			School: r.PathValue("school"), User: r.PathValue("user"), TokenID: r.URL.Query().Get("id"), At: now, Until: now.Add(lifetime),
		}
		if err := a.deps.Revoke(r.Context(), revocation); err != nil {
			return unavailable(err, time.Second, "this process refuses them, but others could not be told yet; try again")
		}
		a.deps.Logger.InfoContext(r.Context(), "tokens are revoked", "school", revocation.School, "user", revocation.User,
			"token", revocation.TokenID, "by", requestOf(r.Context()).bearer.Subject)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}
