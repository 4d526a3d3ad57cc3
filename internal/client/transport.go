package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"
)

func (c *Client) send(
	ctx context.Context, later patience, method, path string, header http.Header, body []byte,
	into any,
) error {
	err := c.do(ctx, later, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, method, c.config.URL+path,
			bytes.NewReader(body))
		if err == nil {
			maps.Copy(req.Header, header)
		}
		return req, err
	}, func(resp *http.Response) error {
		if into == nil || resp.StatusCode == http.StatusNoContent {
			return nil
		}
		return decode(resp, into)
	})
	if err != nil {
		path, _, _ = strings.Cut(path, "?")
		return fmt.Errorf("%s %s: %w", strings.ToLower(method), path, err)
	}
	return nil
}

func decode(resp *http.Response, into any) error {
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, maxResponseBytes), into); err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	return nil
}

// patience says how long a request is made again that the server wants later (429).
type patience bool

const (
	inTime patience = false // within the time for retries, like any other
	// willWait is for events: the server takes them as fast as they are read, and only the caller
	// knows how many there are.
	willWait patience = true
)

// do makes a request until it succeeds, is refused for good, or the time for retries is over. build
// is called for each attempt, since a body can be read only once.
func (c *Client) do(
	ctx context.Context, later patience, build func() (*http.Request, error),
	read func(*http.Response) error,
) error {
	started := time.Now()
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 100*time.Millisecond, 5*time.Second
	for {
		req, err := build()
		if err != nil {
			return err
		}
		err = c.once(req, read)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, _ := errors.AsType[*Problem](err)
		if p != nil && p.Status == http.StatusUnsupportedMediaType &&
			c.compress.CompareAndSwap(true, false) {
			continue // the server, or a proxy in front of it, does not support compressed bodies
		}
		asked := p != nil && p.Status == http.StatusTooManyRequests && later == willWait
		if asked {
			pauses.Reset()
			started = time.Now()
		}
		pause := pauses.NextBackOff()
		if p != nil {
			pause = max(pause, p.RetryAfter)
		}
		limit := c.config.RetryTimeout
		if !c.responded.Load() {
			limit = c.config.ConnectTimeout
		}
		if !Retryable(err) || !asked && time.Since(started)+pause > limit {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// once makes a request and reads its response.
func (c *Client) once(req *http.Request, read func(*http.Response) error) error {
	if c.config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return &connectionError{withoutURL(err)}
	}
	defer resp.Body.Close()
	c.responded.Store(true)
	if resp.StatusCode >= http.StatusBadRequest {
		return readProblem(resp)
	}
	if err := read(resp); err != nil {
		return &connectionError{err} // the response was cut off
	}
	return nil
}

// withoutURL takes the address out of an error: it may have a password, and what was requested is in
// it. Errors end up in logs and terminals.
func withoutURL(err error) error {
	failed, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	return fmt.Errorf("reach the server: %w", failed.Err)
}

// connectionError is a failure of the connection: whether the server has processed the request is
// unknown.
type connectionError struct{ err error }

func (e *connectionError) Error() string { return e.err.Error() }

func (e *connectionError) Unwrap() error { return e.err }
