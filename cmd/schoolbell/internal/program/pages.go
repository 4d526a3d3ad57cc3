package program

import (
	"net/http"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// jobsPath is where River's pages are, on the operations port.
const jobsPath = "/jobs"

// operatorsOnly lets in whoever has an operator's token. A browser asks for a name and a
// password: the token is the password, and the name does not matter.
func operatorsOnly(verifier *auth.Verifier, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token, _ := r.BasicAuth()
		principal, err := verifier.Verify(token)
		switch {
		case err != nil:
			w.Header().
				Set("WWW-Authenticate", `Basic realm="Schoolbell operators: the password is a token", charset="UTF-8"`)
			http.Error(w, "an operator's token is needed", http.StatusUnauthorized)
		case !principal.Operator():
			http.Error(w, "only operators may see the jobs of all schools", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
