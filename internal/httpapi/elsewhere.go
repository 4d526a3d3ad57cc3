package httpapi

import "net/http"

// elsewhere knows the paths of the roles that this process does not have. docs/OPERATIONS.md has the
// same table, for balancers.
type elsewhere struct {
	mux   *http.ServeMux
	roles map[string]string // by pattern
}

func newElsewhere(deps Deps) elsewhere {
	e := elsewhere{http.NewServeMux(), map[string]string{}}
	if deps.Log == nil {
		e.add("the role ingest", schoolPath+"/events")
	}
	if deps.Imports == nil {
		e.add("both roles ingest and api", importsPath, importsPath+"/")
	}
	if deps.Live == nil {
		e.add("the role realtime", schoolPath+"/stream", schoolPath+"/users/{user}/connections",
			"/v1/realtime/", "/connection/", "/socket.io/")
	}
	if deps.Tables == nil {
		e.add("the role api", "/v1/schools/", "/v1/operations/", "/v1/callbacks/", "/documents/")
	}
	return e
}

func (e elsewhere) add(role string, patterns ...string) {
	for _, p := range patterns {
		e.roles[p] = role
		e.mux.Handle(p, http.NotFoundHandler())
	}
}

// role returns what processes have that serve the path of a request, or "".
func (e elsewhere) role(r *http.Request) string {
	_, pattern := e.mux.Handler(r)
	return e.roles[pattern]
}
