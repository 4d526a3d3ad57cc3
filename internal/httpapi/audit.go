package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/projections/query"
)

// impersonal are the routes besides queries whose responses show nobody, below a school's path. A
// stream's rooms are recorded when they are entered, and an explanation once it is clear whether the
// caller sees the events of people.
var impersonal = []string{
	"/settings", "/settings/versions", "/logo", "/push/key", "/stream", "/explain",
}

// showsPeople reports whether a query's result has people in it that this viewer may see. The scope
// of a family is made with the result, which there is only of somebody.
func (v *viewer) showsPeople(q query.Request) bool {
	return !q.Info.Impersonal && (v.private || v.scope.Shows(access.Names))
}

// thingOf is what a query reads: a student, or a list with its filter. Its pages are one thing.
func thingOf(q query.Request, u *url.URL) string {
	if q.Student != "" {
		return "student:" + q.Student
	}
	return listOf(u)
}

func listOf(u *url.URL) string {
	_, path, _ := strings.Cut(strings.TrimPrefix(u.Path, "/v1/schools/"), "/")
	if u.RawQuery == "" {
		return "/" + path
	}
	filter := u.Query()
	for _, name := range [...]string{"after", "limit", "wait"} {
		filter.Del(name)
	}
	if len(filter) == 0 {
		return "/" + path
	}
	return "/" + path + "?" + filter.Encode()
}

func channelOf(isCurrent bool) string {
	if isCurrent {
		return audit.NotModified
	}
	return audit.REST
}

// note records that a bearer has read something of their school, or was refused it.
func (a *API) note(req *request, school, thing, channel string, refused bool) {
	if a.deps.Audit == nil {
		return
	}
	if req.live {
		channel = audit.Socket
	}
	a.deps.Audit.Note(audit.Read{
		School: school, Subject: req.bearer.Subject, TokenID: req.bearer.TokenID,
		Roles: strings.Join(req.bearer.Roles, ","), Thing: thing, Channel: channel,
		Refused: refused,
	})
}

// noteRefusal records that a bearer may not send a request: with the route, since what strangers
// write into addresses has no end, and the method, unless it is a read. It is in the audit of the
// bearer's own school.
func (a *API) noteRefusal(req *request, r *http.Request) {
	school, route := req.bearer.School, routeOf(r)
	if school == auth.AllSchools {
		return // such a token has no school
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		route = r.Method + " " + route
	}
	if req.school != "" && school != req.school {
		route += " of another school"
	}
	a.note(req, school, route, audit.REST, true)
}

// routeOf is the route of a request, below its school if it is about one.
func routeOf(r *http.Request) string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return strings.TrimPrefix(path, schoolPath)
}

// noteRoute records a read of a route that is no query. Queries record themselves, as they know whom
// they are about.
func (a *API) noteRoute(req *request, r *http.Request) error {
	if a.deps.Audit == nil || r.Method != http.MethodGet || a.queries[r.Pattern] ||
		slices.Contains(impersonal, routeOf(r)) {
		return nil
	}
	return a.noteList(req)
}

// noteList records a read of what a request names.
func (a *API) noteList(req *request) error {
	if a.deps.Audit == nil {
		return nil
	}
	if err := a.deps.Audit.Admit(); err != nil {
		return unavailable(err, time.Second, "%s", err)
	}
	a.note(req, req.school, listOf(req.url), audit.REST, false)
	return nil
}

// Audit is a page of who read what.
type Audit struct {
	Records []audit.Record `json:"records"`
	Next    string         `json:"next,omitzero" doc:"Pass as after to get older ones; absent on the last page"`
}

type auditInput struct {
	Subject string    `query:"subject" maxLength:"255" doc:"Only what this reader read: the sub of tokens"`
	Thing   string    `query:"thing" maxLength:"512" doc:"Only reads of this thing, for example student:st-0042"`
	From    time.Time `query:"from" doc:"Only from this hour on"`
	To      time.Time `query:"to" doc:"Only before this hour"`
	After   string    `query:"after" maxLength:"4096" doc:"The next of the previous page"`
	Limit   int       `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Records per page"`
}

// auditRoutes adds the route that says who read what.
func (a *API) auditRoutes() {
	handle(a, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: schoolPath + "/audit",
		Tags: []string{tagOperations}, Summary: "Say who read what",
		Description: "A record for each reader, thing, channel and hour, the latest hours first: who " +
			"read which student, document, list or room, how often, and who was refused. " +
			"Responses without a person are not in it. A read is listed within a second.",
		Errors: []int{422},
	}, needAdmin, a.listAudit)
}

func (a *API) listAudit(
	ctx context.Context, req *request, in *auditInput,
) (*response[Audit], error) {
	filter := audit.Filter{
		Subject: in.Subject, Thing: in.Thing, From: in.From, To: in.To, Limit: in.Limit + 1,
	}
	if in.After != "" {
		text, err := base64.RawURLEncoding.DecodeString(in.After)
		if err == nil {
			err = json.Unmarshal(text, &filter.After)
		}
		if err != nil || filter.After == nil || !isText(filter.After.Thing+filter.After.Subject+
			filter.After.TokenID+filter.After.Roles+filter.After.Channel) {
			return nil, wrongParameter("after", "is not the next of a page")
		}
	}
	page := Audit{Records: []audit.Record{}}
	err := a.deps.Tables.Read(ctx, req.school, func(tx pgx.Tx) error {
		// One more than the page tells whether there is a next one.
		found, err := audit.List(ctx, tx, req.school, filter)
		page.Records = append(page.Records, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(page.Records) > in.Limit {
		page.Records = page.Records[:in.Limit]
		last, err := json.Marshal(page.Records[in.Limit-1])
		if err != nil {
			return nil, err
		}
		page.Next = base64.RawURLEncoding.EncodeToString(last)
	}
	return &response[Audit]{page}, nil
}
