package httpapi

import (
	"net/http"
	"strings"
)

// movedRoutes say where routes of the previous release have gone. They go with the next one.
func (a *API) movedRoutes() {
	for _, pattern := range []string{
		schoolPath + "/jobs", schoolPath + "/jobs/{rest...}",
		"/v1/queues", "/v1/queues/{rest...}",
	} {
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			now := strings.Replace(r.URL.Path, "/jobs", "/deliveries", 1)
			if after, ok := strings.CutPrefix(r.URL.Path, "/v1/queues"); ok {
				now = operationsPath + "/queues" + after
			}
			problem(http.StatusGone, "this route is now %s", now).write(w, r)
		})
	}
}
