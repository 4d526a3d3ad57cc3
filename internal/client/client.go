package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/gzip"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Limits of one request, as the server has them.
const (
	MaxEvents = 1000
	MaxBytes  = 4 << 20
	MaxWait   = 30 * time.Second // of Events
)

// maxResponseBytes bounds what is read of an answer: a thousand of the largest events.
const maxResponseBytes = 64 << 20

// Config says where the server is and how patient the client is.
type Config struct {
	URL   string // as http://127.0.0.1:8080
	Token string

	// Patience is how long a request is tried again before its last fault counts (1 min).
	RetryTimeout time.Duration
	// FirstPatience is the same as long as the server has never answered: it may not be there at all (3 s).
	ConnectTimeout time.Duration
	// HTTP makes the requests (a client of its own, which gives up on a request after 1 min).
	HTTP *http.Client
}

// Validate reports all that is wrong.
func (c Config) Validate() error {
	var errs []error
	if u, err := url.Parse(c.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		errs = append(errs, fmt.Errorf("server address %q must be an http or https URL, as in http://127.0.0.1:8080", c.URL))
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, errors.New("token has characters that no token has"))
	}
	if c.RetryTimeout < 0 || c.ConnectTimeout < 0 {
		errs = append(errs, errors.New("patience must not be negative"))
	}
	return errors.Join(errs...)
}

// Client is one server. It may be used by several goroutines.
type Client struct {
	config    Config
	http      *http.Client
	compress  atomic.Bool
	responded atomic.Bool
}

// New makes a client. It does not connect yet.
func New(config Config) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config.URL = strings.TrimSuffix(config.URL, "/")
	if config.RetryTimeout == 0 {
		config.RetryTimeout = time.Minute
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = min(3*time.Second, config.RetryTimeout)
	}
	c := &Client{config: config, http: config.HTTP}
	if c.http == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		c.http = &http.Client{Transport: transport, Timeout: time.Minute}
	}
	c.compress.Store(!isLoopback(config.URL))
	return c, nil
}

// isLoopback reports that there is no network to spare by compressing.
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// Close lets go of connections that are kept open.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Accepted is the answer to events that are in the log.
type Accepted struct {
	Accepted   int             `json:"accepted"`
	Duplicates int             `json:"duplicates"` // repetitions within the request
	Position   domain.Position `json:"position"`   // of the last event
}

// Publish sends events of one school: all of them are taken, or none. There may be up to [MaxEvents], with up to [MaxBytes].
func (c *Client) Publish(ctx context.Context, school string, events []*domain.Envelope) (*Accepted, error) {
	body := []byte{'['}
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		var err error
		if body, err = cloudevents.AppendStructured(body, e); err != nil {
			return nil, fmt.Errorf("encode event %d: %w", i, err)
		}
	}
	accepted, err := c.post(ctx, school, append(body, ']'))
	if err != nil {
		return nil, fmt.Errorf("publish events of school %s: %w", school, err)
	}
	return accepted, nil
}

// post sends a batch of structured events.
func (c *Client) post(ctx context.Context, school string, body []byte) (*Accepted, error) {
	var accepted Accepted
	err := c.do(ctx, func() (*http.Request, error) {
		return c.newPost(ctx, c.config.URL+"/v1/schools/"+url.PathEscape(school)+"/events", body)
	}, func(resp *http.Response) error {
		return decode(resp, &accepted)
	})
	return &accepted, err
}

func (c *Client) newPost(ctx context.Context, address string, body []byte) (*http.Request, error) {
	encoding := ""
	if c.compress.Load() {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		if _, err := z.Write(body); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		body, encoding = b.Bytes(), "gzip"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", cloudevents.BatchType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	return req, nil
}

// Page is a part of a school's log.
type Page struct {
	Next       domain.Position  `json:"next"`       // to read on after
	Unreadable int              `json:"unreadable"` // records of the school that are no events
	Events     []jsontext.Value `json:"events"`     // structured, with the extension position
}

// Events reads the events of a school after a position, at most limit of them; "" is before the first. When there are
// none yet, the server waits up to wait for one.
func (c *Client) Events(ctx context.Context, school, after string, limit int, wait time.Duration) (*Page, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}, "wait": {strconv.Itoa(int(min(wait, MaxWait).Seconds()))}}
	if after != "" {
		q.Set("after", after)
	}
	var page Page
	err := c.do(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.config.URL+"/v1/schools/"+url.PathEscape(school)+"/events?"+q.Encode(), http.NoBody)
	}, func(resp *http.Response) error {
		page = Page{}
		return decode(resp, &page)
	})
	if err != nil {
		return nil, fmt.Errorf("read events of school %s: %w", school, err)
	}
	return &page, nil
}

// Get reads a JSON document at a path of the API.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	err := c.do(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.config.URL+path, http.NoBody)
	}, func(resp *http.Response) error {
		return decode(resp, into)
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// Put writes a JSON document to a path of the API, in place of the version that the tag names.
func (c *Client) Put(ctx context.Context, path, tag string, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = c.do(ctx, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.config.URL+path, bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("If-Match", tag)
		}
		return req, err
	}, func(*http.Response) error { return nil })
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Delete asks for what a path of the API names to go.
func (c *Client) Delete(ctx context.Context, path string) error {
	err := c.do(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodDelete, c.config.URL+path, http.NoBody)
	}, func(*http.Response) error { return nil })
	if err != nil {
		return fmt.Errorf("delete %s: %w", path, err)
	}
	return nil
}

func decode(resp *http.Response, into any) error {
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, maxResponseBytes), into); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// do makes a request until it is answered, refused for good, or patience ends.
func (c *Client) do(ctx context.Context, build func() (*http.Request, error), read func(*http.Response) error) error {
	started := time.Now()
	for attempt := 0; ; attempt++ {
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
		var p *Problem
		if errors.As(err, &p) && p.Status == http.StatusUnsupportedMediaType && c.compress.CompareAndSwap(true, false) {
			continue // the server, or a proxy before it, does not take compressed bodies
		}
		pause := pause(attempt)
		if p != nil {
			pause = max(pause, p.RetryAfter)
		}
		patience := c.config.RetryTimeout
		if !c.responded.Load() {
			patience = c.config.ConnectTimeout
		}
		if !Retryable(err) || time.Since(started)+pause > patience {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// pause grows from about 100 ms to 5 s, and differs between clients that failed together.
func pause(attempt int) time.Duration {
	longest := min(100*time.Millisecond<<min(attempt, 10), 5*time.Second)
	return longest/2 + rand.N(longest/2)
}

// once makes a request and reads its answer.
func (c *Client) once(req *http.Request, read func(*http.Response) error) error {
	if c.config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return &connectionError{err}
	}
	defer resp.Body.Close()
	c.responded.Store(true)
	if resp.StatusCode >= http.StatusBadRequest {
		return readProblem(resp)
	}
	if err := read(resp); err != nil {
		return &connectionError{err} // it was cut off
	}
	return nil
}

// connectionError is a fault on the way: whether the request arrived is not known.
type connectionError struct{ err error }

func (e *connectionError) Error() string { return e.err.Error() }

func (e *connectionError) Unwrap() error { return e.err }
