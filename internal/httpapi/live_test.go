package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// liveCalls records what the API calls on the live side.
type liveCalls struct {
	tickets []auth.Principal
	revoked []string
	refused []auth.Revocation
	err     error
}

func withLive(calls *liveCalls) option {
	return func(_ *httpapi.Config, d *httpapi.Deps) {
		d.Revoke = func(_ context.Context, r auth.Revocation) error {
			calls.refused = append(calls.refused, r)
			return calls.err
		}
		d.Live = &httpapi.Live{
			Stream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "data: %s\n\n", r.PathValue("school"))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}),
			Sockets: map[string]http.Handler{"/connection/websocket": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				defer conn.Close()
				fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\nhello")
			})},
			Issue: func(_ context.Context, p auth.Principal) (string, time.Duration, error) {
				calls.tickets = append(calls.tickets, p)
				return "a-ticket", 30 * time.Second, calls.err
			},
			Connections: func(_ context.Context, school, user string) ([]httpapi.Connection,
				error,
			) {
				return []httpapi.Connection{{ID: school + "-" + user, Node: "one"}}, calls.err
			},
			Revoke: func(_ context.Context, school, user string) error {
				calls.revoked = append(calls.revoked, school+"/"+user)
				return calls.err
			},
		}
	}
}

func TestStreamsAreNeitherBufferedNorCompressed(t *testing.T) {
	t.Parallel()
	s := logOnly(t, withLive(&liveCalls{}))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet,
		s.server.URL+"/v1/schools/north/stream", nil)
	require.NoError(t, err)
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := s.server.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Empty(t, resp.Header.Get("Content-Encoding"))
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "data: north\n", line)
	cancel()
	require.Equal(t, http.StatusBadRequest,
		s.get("/v1/schools/north/stream?token=x", "").StatusCode)
}

func TestSocketsBypassTheHandlersAround(t *testing.T) {
	t.Parallel()
	s := logOnly(t, withLive(&liveCalls{}))
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: "+
		"Upgrade\r\nUpgrade: websocket\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Eventually(t, func() bool {
		log := s.logs.String()
		return strings.Contains(log, "path=/connection/websocket status=101")
	}, 10*time.Second, time.Millisecond)
}

func TestTicketsNeedAToken(t *testing.T) {
	t.Parallel()
	calls := &liveCalls{}
	s := logOnly(t, withLive(calls))
	s.do(http.MethodPost, "/v1/realtime/tickets", "", "").problem(t)
	require.Equal(t, http.StatusUnauthorized,
		s.do(http.MethodPost, "/v1/realtime/tickets", "forged", "").StatusCode)
	require.Empty(t, calls.tickets)

	r := s.do(http.MethodPost, "/v1/realtime/tickets", token(t, "north", "mum", "guardian"), "")
	require.Equal(t, http.StatusCreated, r.StatusCode)
	var ticket httpapi.Ticket
	require.NoError(t, json.Unmarshal(r.body, &ticket))
	require.Equal(t, httpapi.Ticket{Ticket: "a-ticket", ExpiresIn: 30}, ticket)
	require.Equal(t, "mum", calls.tickets[0].Subject)

	calls.err = errors.New("redis is away")
	r = s.do(http.MethodPost, "/v1/realtime/tickets", token(t, "north", "mum", "guardian"), "")
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
}

func TestP10_OnlyAdministratorsSeeWhoIsOnline(t *testing.T) {
	t.Parallel()
	calls := &liveCalls{}
	s := logOnly(t, withLive(calls))
	const path = "/v1/schools/north/users/tom/connections"
	for _, bearer := range []string{
		token(t, "north", "tom", "teacher"),
		token(t, "south", "boss", "admin"), "",
	} {
		require.GreaterOrEqual(t, s.get(path, bearer).StatusCode, 401)
	}
	r := s.get(path, token(t, "north", "boss", "admin"))
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.JSONEq(t, `{"online":true,"connections":[{"id":"north-tom","node":"one"}]}`,
		string(r.body))
	calls.err = errors.New("redis is away")
	require.Equal(t, http.StatusServiceUnavailable,
		s.get(path, token(t, "north", "boss", "admin")).StatusCode)
}

func TestP10_OnlyAdministratorsRevokeTokens(t *testing.T) {
	t.Parallel()
	calls := &liveCalls{}
	s := logOnly(t, withLive(calls))
	const path = "/v1/schools/north/users/tom/tokens"
	for _, bearer := range []string{
		token(t, "north", "tom", "teacher"),
		token(t, "south", "boss", "admin"), "",
	} {
		require.GreaterOrEqual(t, s.do(http.MethodDelete, path, bearer, "").StatusCode, 401)
	}
	boss := token(t, "north", "boss", "admin")
	for _, nonsense := range []string{"?for=soon", "?for=-1h", "?for=0s"} {
		require.Equal(t, http.StatusBadRequest,
			s.do(http.MethodDelete, path+nonsense, boss, "").StatusCode, nonsense)
	}
	long := strings.Repeat("x", 256) // longer than a sub may be
	for _, unbounded := range []string{
		path + "?for=2160h0m1s", path + "?for=1000000h", path + "?id=" + long,
		"/v1/schools/north/users/" + long + "/tokens",
		path + "?id=" + strings.Repeat("x", 25_000),
	} {
		r := s.do(http.MethodDelete, unbounded, boss, "")
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity},
			r.StatusCode, "%.100s", unbounded)
		r.problem(t)
	}
	require.Empty(t, calls.refused)
	require.Equal(t, http.StatusNoContent,
		s.do(http.MethodDelete, path+"?id=t-1&for=24h", boss, "").StatusCode)
	got := calls.refused[0]
	require.Equal(t, auth.Revocation{
		School: "north", User: "tom", TokenID: "t-1", At: got.At,
		Until: got.At.Add(24 * time.Hour),
	}, got)
	require.WithinDuration(t, time.Now(), got.At, time.Hour)
	longest := strings.Repeat("x", 255)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete,
		"/v1/schools/north/users/"+longest+"/tokens?id="+longest, boss, "").StatusCode)
	require.Equal(t, longest, calls.refused[1].User)

	const ofOperators = "/v1/operations/users/ops/tokens"
	require.Equal(t, http.StatusForbidden, s.do(http.MethodDelete, ofOperators, boss, "").StatusCode)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, ofOperators,
		token(t, "*", "chief", "operator"), "").StatusCode)
	require.Equal(t, []string{"*", "ops"}, []string{calls.refused[2].School, calls.refused[2].User})

	calls.err = auth.ErrTooManyRevocations
	require.Equal(t, http.StatusConflict, s.do(http.MethodDelete, path, boss, "").StatusCode)
	calls.err = errors.New("redis is away")
	r := s.do(http.MethodDelete, path, token(t, "*", "ops", "operator"), "")
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
}

func TestP10_OnlyAdministratorsEndConnections(t *testing.T) {
	t.Parallel()
	calls := &liveCalls{}
	s := logOnly(t, withLive(calls))
	const path = "/v1/schools/north/users/tom/connections"
	for _, bearer := range []string{
		token(t, "north", "tom", "teacher"),
		token(t, "south", "boss", "admin"), "",
	} {
		require.GreaterOrEqual(t, s.do(http.MethodDelete, path, bearer, "").StatusCode, 401)
	}
	require.Empty(t, calls.revoked)
	require.Equal(t, http.StatusNoContent,
		s.do(http.MethodDelete, path, token(t, "north", "boss", "admin"), "").StatusCode)
	require.Equal(t, []string{"north/tom"}, calls.revoked)
}

func TestP10_QueriesOfLiveClientsAreAuthorized(t *testing.T) {
	t.Parallel()
	s := full(t)
	at := s.publish("north", structured("e", "student.enrolled",
		`{"student_id":"s-1","given_name":"Ada","family_name":"Lovelace","class_id":"7a","on":"2026-09-01"}`))
	lookup := func(bearer auth.Principal, school, name, parameters string) (status int,
		body string,
	) {
		t.Helper()
		b, err := s.api.Query(t.Context(), bearer, school, name, jsontext.Value(parameters))
		require.NoError(t, err)
		var answer struct {
			Status   int            `json:"status"`
			Position string         `json:"position"`
			Body     jsontext.Value `json:"body"`
		}
		require.NoError(t, json.Unmarshal(b, &answer))
		if answer.Status == http.StatusOK {
			require.Equal(t, at, answer.Position)
		}
		return answer.Status, string(answer.Body)
	}
	boss := auth.Principal{Subject: "boss", School: "north", Roles: []string{"admin"}}
	status, body := lookup(boss, "north", "students",
		`{"q":"lovelace","limit":5,"min_position":"`+at+`"}`)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, "Ada")
	status, body = lookup(boss, "north", "student", `{"id":"s-1"}`)
	require.Equal(t, http.StatusOK, status, body)

	status, _ = lookup(boss, "south", "students", ``)
	require.Equal(t, http.StatusForbidden, status)
	status, _ = lookup(auth.Principal{Subject: "mum", School: "north", Roles: []string{"guardian"}},
		"north", "students", `null`)
	require.Equal(t, http.StatusForbidden, status)
	status, _ = lookup(boss, "north", "students", `{"limit":"many"}`)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	status, body = lookup(boss, "north", "students", `{"limit":1000000,"q":true}`)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, body, `"query.limit"`)
	status, _ = lookup(boss, "north", "student", `{"id":"../../../south/students"}`)
	require.Equal(t, http.StatusNotFound, status)

	_, err := s.api.Query(t.Context(), boss, "north", "secrets", nil)
	require.ErrorIs(t, err, httpapi.ErrNoQuery)
	for parameters, says := range map[string]string{
		`[]`: "data must be an object", `"x"`: "data must be an object",
		`{"id":".."}`: `"/id"`, `{"id":""}`: `"/id"`, `{"id":{"a":1}}`: `"/id"`,
		`{"id":null}`: `"/id"`, `{}`: `"/id"`, `{"id":"s","id":"t"}`: "data must be an object",
	} {
		_, err = s.api.Query(t.Context(), boss, "north", "student", jsontext.Value(parameters))
		require.ErrorIs(t, err, httpapi.ErrParameters, parameters)
		require.ErrorContains(t, err, says, parameters)
	}
}
