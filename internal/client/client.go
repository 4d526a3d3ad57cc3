package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
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

// Limits of one request. They are the server's defaults.
const (
	MaxEvents = 1000
	MaxBytes  = 4 << 20
	MaxWait   = 30 * time.Second // of [Client.Events]
)

// maxResponseBytes limits a response: a thousand of the largest events fit in.
const maxResponseBytes = 64 << 20

// Config is where the server is, and how long requests are retried. A zero value means the default
// in parentheses.
type Config struct {
	URL   string // for example http://127.0.0.1:8080; required
	Token string

	// RetryTimeout is how long a request is retried before its last error is returned (1 min).
	RetryTimeout time.Duration
	// ConnectTimeout takes its place until the server has responded once: the URL may be wrong (3
	// s).
	ConnectTimeout time.Duration
	// HTTP makes the requests (a new client with a timeout of 1 min per request).
	HTTP *http.Client
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var errs []error
	if u, err := url.Parse(c.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") ||
		u.Host == "" {
		// It may have a password in it.
		errs = append(errs, errors.New("the server's address must be an http or https URL, for "+
			"example http://127.0.0.1:8080"))
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, errors.New("token has characters that a token cannot have"))
	}
	if c.RetryTimeout < 0 || c.ConnectTimeout < 0 {
		errs = append(errs, errors.New("retry timeout and connect timeout must not be negative"))
	}
	return errors.Join(errs...)
}

// Client calls one server. It is safe for concurrent use.
type Client struct {
	config    Config
	http      *http.Client
	compress  atomic.Bool // bodies, until the server refuses one
	responded atomic.Bool // ever
}

// New returns a client. It does not connect yet.
func New(config Config) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config.URL = strings.TrimSuffix(config.URL, "/")
	config.RetryTimeout = cmp.Or(config.RetryTimeout, time.Minute)
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, min(3*time.Second, config.RetryTimeout))
	c := &Client{config: config, http: config.HTTP}
	if c.http == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		c.http = &http.Client{Transport: transport, Timeout: time.Minute}
	}
	c.compress.Store(!isLoopback(config.URL))
	return c, nil
}

// isLoopback reports that the server is on this machine, where compressing costs more than sending.
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Accepted confirms that events are in the log.
type Accepted struct {
	Accepted   int                `json:"accepted"`
	Duplicates int                `json:"duplicates"` // of the request, and of the last minute
	Conflicts  int                `json:"conflicts"`  // duplicates whose content differs
	Position   domain.LogPosition `json:"position"`   // of the last event
}

// Publish sends events of one school, at most [MaxEvents] and [MaxBytes]. Either all are written or
// none.
func (c *Client) Publish(
	ctx context.Context, school string, events []*domain.Envelope,
) (*Accepted, error) {
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
	err := c.do(ctx, willWait, func() (*http.Request, error) {
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
	Next domain.LogPosition `json:"next"` // pass as after to read on
	// events of a newer version, which the server cannot read
	Unreadable int              `json:"unreadable"`
	Events     []jsontext.Value `json:"events"` // structured, with the extension position
}

// Events reads at most limit events of a school after a position; "" is before the first. When
// there are none yet, the server waits for one, at most wait.
func (c *Client) Events(
	ctx context.Context, school, after string, limit int, wait time.Duration,
) (*Page, error) {
	q := url.Values{
		"limit": {strconv.Itoa(limit)},
		"wait":  {strconv.Itoa(int(min(wait, MaxWait).Seconds()))},
	}
	if after != "" {
		q.Set("after", after)
	}
	var page Page
	err := c.do(ctx, inTime, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet,
			c.config.URL+"/v1/schools/"+url.PathEscape(school)+"/events?"+q.Encode(), http.NoBody)
	}, func(resp *http.Response) error {
		page = Page{}
		return decode(resp, &page)
	})
	if err != nil {
		return nil, fmt.Errorf("read events of school %s: %w", school, err)
	}
	return &page, nil
}

// Get reads the JSON document at a path of the API.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	return c.send(ctx, inTime, http.MethodGet, path, nil, nil, into)
}

// GetWithHeader is Get, and returns the response's header.
func (c *Client) GetWithHeader(
	ctx context.Context, path string, into any,
) (header http.Header, err error) {
	err = c.do(ctx, inTime, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.config.URL+path, http.NoBody)
	}, func(resp *http.Response) error {
		header = resp.Header
		return decode(resp, into)
	})
	if err != nil {
		path, _, _ = strings.Cut(path, "?")
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	return header, nil
}

// Post makes a decision at a path of the API, and reads the JSON response into the value, unless it
// is nil or empty.
func (c *Client) Post(ctx context.Context, path string, into any) error {
	return c.send(ctx, inTime, http.MethodPost, path, nil, nil, into)
}

// PostDocument is Post with a JSON document. Like events it waits for as long as the server has it
// wait.
func (c *Client) PostDocument(ctx context.Context, path string, document, into any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode document for %s: %w", path, err)
	}
	return c.send(ctx, willWait, http.MethodPost, path,
		http.Header{"Content-Type": {"application/json"}}, body, into)
}

// Upload posts a body that is compressed with gzip.
func (c *Client) Upload(
	ctx context.Context, path, mediaType string, packed []byte, into any,
) error {
	return c.send(ctx, inTime, http.MethodPost, path,
		http.Header{"Content-Type": {mediaType}, "Content-Encoding": {"gzip"}}, packed, into)
}

// Download writes what is at a path of the API.
func (c *Client) Download(ctx context.Context, path string, to io.Writer) error {
	var all []byte
	err := c.do(ctx, inTime, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.config.URL+path, http.NoBody)
	}, func(resp *http.Response) (err error) {
		all, err = io.ReadAll(resp.Body)
		return err
	})
	if err == nil {
		_, err = to.Write(all)
	}
	if err != nil {
		path, _, _ = strings.Cut(path, "?")
		return fmt.Errorf("get %s: %w", path, err)
	}
	return nil
}

// Save writes what is at a path of the API to a file, however much that is, and returns the response's
// header. The response covers a position of the log, unless it is "".
func (c *Client) Save(
	ctx context.Context, path, position string, to *os.File,
) (header http.Header, err error) {
	err = c.do(ctx, inTime, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.config.URL+path, http.NoBody)
		if err == nil && position != "" {
			req.Header.Set("Schoolbell-Min-Position", position)
		}
		return req, err
	}, func(resp *http.Response) error {
		header = resp.Header
		// what an attempt before has written
		if _, err := to.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := to.Truncate(0); err != nil {
			return err
		}
		_, err := io.Copy(to, resp.Body)
		return err
	})
	if err != nil {
		path, _, _ = strings.Cut(path, "?")
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	return header, nil
}

// Put replaces the JSON document at a path of the API. The tag is the ETag of the version that it
// replaces.
func (c *Client) Put(ctx context.Context, path, tag string, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode document for %s: %w", path, err)
	}
	return c.send(ctx, inTime, http.MethodPut, path,
		http.Header{"Content-Type": {"application/json"}, "If-Match": {tag}}, body, nil)
}

// Delete deletes what is at a path of the API.
func (c *Client) Delete(ctx context.Context, path string) error {
	return c.send(ctx, inTime, http.MethodDelete, path, nil, nil, nil)
}
