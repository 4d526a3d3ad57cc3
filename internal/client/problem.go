package client

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Problem is an error response of the server (RFC 9457).
type Problem struct {
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail"`
	RequestID string  `json:"request_id"`
	Faults    []Fault `json:"errors"`
	More      int     `json:"more_errors"` // faults beyond those listed

	RetryAfter time.Duration `json:"-"`
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Index     int    `json:"index"`     // of the event in its batch
	Pointer   string `json:"pointer"`   // a JSON pointer into the event or body
	Parameter string `json:"parameter"` // of the URL
	Reason    string `json:"reason"`
	Line      int    `json:"-"` // of the file that the event came from; 0: no file
}

// where describes the location of a fault.
func (f Fault) where() string {
	switch {
	case f.Parameter != "":
		return f.Parameter
	case f.Line > 0:
		return fmt.Sprintf("line %d: %s", f.Line, f.Pointer)
	default:
		return fmt.Sprintf("event %d: %s", f.Index, f.Pointer)
	}
}

// maxListed is how many faults an error's text lists.
const maxListed = 10

func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", p.Status, p.Title)
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, f := range p.Faults[:min(len(p.Faults), maxListed)] {
		fmt.Fprintf(&b, "\n  %s %s", f.where(), f.Reason)
	}
	if more := len(p.Faults) - maxListed + p.More; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// Retryable reports whether the same request may succeed later.
func Retryable(err error) bool {
	if p, ok := errors.AsType[*Problem](err); ok {
		switch p.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
			http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	return errors.As(err, new(*connectionError))
}

// readProblem reads an error response. One without a problem document comes from a proxy in
// between.
func readProblem(resp *http.Response) *Problem {
	p := &Problem{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/problem+json" || json.Unmarshal(body, p) != nil {
		*p = Problem{Detail: strings.TrimSpace(string(body[:min(len(body), 200)]))}
	}
	p.Status = resp.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	p.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	return p
}

// retryAfter parses the two forms of Retry-After: seconds, or a date.
func retryAfter(v string) time.Duration {
	if seconds, err := strconv.Atoi(v); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
