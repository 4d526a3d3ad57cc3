package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Target is a running Schoolbell.
type Target struct {
	URL   string // http://host:port
	Token string // of an operator of the platform: the benchmarks write to schools of their own
}

// caller sends requests over connections that stay open.
type caller struct {
	target Target
	http   *http.Client
}

func newCaller(t Target, connections int) *caller {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &caller{target: t, http: &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections,
			DisableCompression: true,
		},
	}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// response is what the server returned.
type response struct {
	status int
	header http.Header
	body   []byte
}

// errStatus: a response was not the one that the benchmark needs.
var errStatus = errors.New("unexpected response")

// do sends a request and reads the whole response; any status but want is an error. A server that
// takes events only as fast as they are read is asked again when it says.
func (c *caller) do(
	ctx context.Context, method, path string, header map[string]string, body []byte, want int,
) (response, error) {
	for {
		r, err := c.once(ctx, method, path, header, body, want)
		seconds, _ := strconv.Atoi(r.header.Get("Retry-After"))
		if r.status != http.StatusTooManyRequests || seconds == 0 {
			return r, err
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-ctx.Done():
			return r, err
		}
	}
}

func (c *caller) once(
	ctx context.Context, method, path string, header map[string]string, body []byte, want int,
) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.target.URL, "/")+path,
		bytes.NewReader(body))
	if err != nil {
		return response{}, fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.target.Token)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return response{}, fmt.Errorf("request %s: %w", path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return response{}, fmt.Errorf("read response of %s: %w", path, err)
	}
	if resp.StatusCode != want {
		err = fmt.Errorf("%w: %s %s: %d %.300s", errStatus, method, path, resp.StatusCode, got)
	}
	return response{resp.StatusCode, resp.Header, got}, err
}
