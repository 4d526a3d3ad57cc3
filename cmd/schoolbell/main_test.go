package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

const (
	asProgram  = "SCHOOLBELL_TEST_AS_PROGRAM" // set: the test binary is the program
	testSecret = "a secret that is only for tests, and long enough"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	devtest.Main(m)
}

// app is a running program, and an operator's way to speak to it.
type app struct {
	program.Address
	token string
}

// startApp runs the whole program in this process, on ports of its own. Its PostgreSQL is the one
// that the tests share.
func startApp(t *testing.T, change func(*config.Config)) *app {
	t.Helper()
	cfg := defaultConfig(t)
	cfg.Data = t.TempDir()
	cfg.Database.URL = devtest.Postgres(t)
	cfg.JWT.Secret = testSecret
	if change != nil {
		change(cfg)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan program.Address, 1), make(chan error, 1)
	go func() { ended <- program.Run(ctx, cfg, testLog(t), func(at program.Address) { ready <- at }) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	select {
	case at := <-ready:
		return &app{Address: at, token: mint(t, testSecret)}
	case err := <-ended:
		ended <- nil
		require.NoError(t, err)
		return nil
	}
}

// defaultConfig is what serve gets from no flags at all, but for its ports.
func defaultConfig(t *testing.T) *config.Config {
	t.Helper()
	var c struct {
		Serve serveCommand `cmd:""`
	}
	parser, err := newParserFor(&c, streams{out: io.Discard, err: io.Discard})
	require.NoError(t, err)
	_, err = parser.Parse(
		[]string{"serve", "--http=127.0.0.1:0", "--ops=127.0.0.1:0", "--kafka-partitions=4"},
	)
	require.NoError(t, err)
	return &c.Serve.Config
}

func mint(t *testing.T, secret string) string {
	t.Helper()
	token, err := auth.Mint(secret, auth.Principal{
		Subject: "test", School: auth.AllSchools, Roles: []string{"operator"}, Expires: time.Now().Add(time.Hour),
	}, time.Now())
	require.NoError(t, err)
	return token
}

// call sends a request and returns the response with its body read.
func (a *app) call(
	t *testing.T, method, url, body string, header ...string,
) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+a.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, b
}

// publish sends events of a school and returns the position of the last. Like any client it sends
// them again when the school has too many unread.
func (a *app) publish(t *testing.T, school string, events ...map[string]any) string {
	t.Helper()
	body, err := json.Marshal(events)
	require.NoError(t, err)
	var resp *http.Response
	var b []byte
	require.Eventually(t, func() bool {
		resp, b = a.call(t, http.MethodPost, a.HTTP+"/v1/schools/"+school+"/events", string(body),
			"Content-Type", "application/cloudevents-batch+json")
		return resp.StatusCode != http.StatusTooManyRequests
	}, time.Minute, 100*time.Millisecond)
	require.Equal(t, http.StatusAccepted, resp.StatusCode, "%s", b)
	var accepted struct {
		Position string `json:"position"`
	}
	require.NoError(t, json.Unmarshal(b, &accepted))
	return accepted.Position
}

// get reads a response that is as new as a position. Like any client it retries while the tables
// have not reached that yet.
func (a *app) get(t *testing.T, path, position string, into any) *http.Response {
	t.Helper()
	var resp *http.Response
	var b []byte
	require.Eventually(t, func() bool {
		resp, b = a.call(t, http.MethodGet, a.HTTP+path, "", "Schoolbell-Min-Position", position)
		return resp.StatusCode != http.StatusServiceUnavailable
	}, 2*time.Minute, 100*time.Millisecond)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
	require.NoError(t, json.Unmarshal(b, into), "%s", b)
	return resp
}

func enrolled(school string, n int) map[string]any {
	id := fmt.Sprintf("s%d", n)
	return event(school, "enrolled-"+id, "schoolbell.student.enrolled.v1", id, map[string]any{
		"student_id": id, "given_name": "Ada", "family_name": "Lovelace", "class_id": "7a", "on": "2026-09-01",
	})
}

func marked(school string, n int, status string) map[string]any {
	id := fmt.Sprintf("s%d", n)
	return event(school, "marked-"+id, "schoolbell.attendance.marked.v1", id, map[string]any{
		"student_id": id, "class_id": "7a", "date": "2026-09-07", "session": "day", "status": status,
	})
}

func event(school, id, wireType, subject string, data map[string]any) map[string]any {
	return map[string]any{
		"specversion": "1.0", "id": id, "source": "test", "type": wireType, "school": school, "subject": subject,
		"time": "2026-09-07T08:00:00Z", "datacontenttype": "application/json", "data": data,
	}
}

// command runs the program's command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = runContext(t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &errs})
	return code, out.String(), errs.String()
}

// programCommand is the program as a process of its own.
func programCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}
