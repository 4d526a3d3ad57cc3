package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
)

// Client sends requests to services over HTTP. It follows no redirects: they would send a message
// somewhere else.
type Client struct {
	http http.Client
}

// NewClient returns a client with a timeout for each request. A nil transport means one of its own.
func NewClient(timeout time.Duration, transport http.RoundTripper) *Client {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64
		transport = t
	}
	return &Client{http.Client{
		Timeout:   timeout,
		Transport: transport,
		CheckRedirect: func(*http.Request,
			[]*http.Request,
		) error {
			return http.ErrUseLastResponse
		},
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// maxResponse bounds the bytes that are read of a response.
const maxResponse = 1 << 20

// Response is the response of a service.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK reports a status of success.
func (a *Response) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// Do sends a request and reads the response. The error is a [consumers.SendError]:
// [consumers.Temporary] when the request never went out, otherwise [consumers.Unsure]. Whether it
// went out is observed on the wire, not guessed from the error. A response whose body breaks off is
// returned with what was read of it.
func (c *Client) Do(req *http.Request) (*Response, error) {
	var out atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { out.Store(true) }}
	res, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		e := &consumers.SendError{
			Class: consumers.Temporary, Code: "unreachable",
			Err: fmt.Errorf("request to %s: %w", req.URL.Host, withoutURL(err)),
		}
		if out.Load() {
			e.Class, e.Code = consumers.Unsure, "no_answer"
		}
		return nil, e
	}
	defer res.Body.Close()
	// the status says what happened even if the body breaks off
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	return &Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// withoutURL removes the address from an error: it may hold credentials or a phone number, and
// errors are logged.
func withoutURL(err error) error {
	var inner interface{ Unwrap() error }
	if errors.As(err, &inner) && inner.Unwrap() != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return context.DeadlineExceeded
		}
		return inner.Unwrap()
	}
	return err
}

// ResponseError classifies a response that is not a success. Without a code of the service its
// status is the code.
//
//	408, 425, 429, 503   not done, but may be later; Retry-After is passed on
//	401, 403, 404, 3xx   not done; the configuration is wrong, and once it is fixed the same may succeed
//	other 4xx            not done, and never will be
//	other 5xx            the service does not know what it did, so neither do we
func ResponseError(a *Response, code string, err error) *consumers.SendError {
	e := &consumers.SendError{
		Class: consumers.Permanent, Code: code,
		RetryAfter: RetryAfter(a.Header, time.Now()), Err: err,
	}
	if e.Code == "" {
		e.Code = strconv.Itoa(a.Status)
	}
	switch s := a.Status; {
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests,
		s == http.StatusServiceUnavailable,
		s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusNotFound, s < 400:
		e.Class = consumers.Temporary
	case s >= 500:
		e.Class = consumers.Unsure
	}
	return e
}

// maxRetryAfter bounds what a service may demand.
const maxRetryAfter = 24 * time.Hour

// RetryAfter parses the header of that name: a number of seconds or a date. It returns 0 for
// anything else.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(v, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
