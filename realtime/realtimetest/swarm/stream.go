package swarm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
)

// stream receives server-sent events.
func (c *Client) stream(ctx context.Context) error {
	transport := &http.Transport{
		DialContext: c.dial, DisableKeepAlives: true,
		DisableCompression: true,
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet,
		c.URL+"/v1/schools/"+c.School+"/stream?rooms="+url.QueryEscape(c.Room), nil)
	if err != nil {
		return err
	}
	r.Header = c.header()
	from := c.From
	from.Offset = c.at()
	r.Header.Set("Last-Event-ID", from.String())
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	lines := bufio.NewReaderSize(resp.Body, 4096)
	var kind string
	for {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			whole := bytes.Clone(line)
			for errors.Is(err, bufio.ErrBufferFull) {
				line, err = lines.ReadSlice('\n')
				whole = append(whole, line...)
			}
			line = whole
		}
		if err != nil {
			return err
		}
		name, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(": "))
		switch string(name) {
		case "event":
			kind = string(value)
		case "data":
			if err := c.message(kind, value); err != nil {
				return err
			}
		}
	}
}

func (c *Client) message(kind string, data []byte) error {
	switch kind {
	case "open":
		c.entered()
	case "event":
		return c.received(data)
	case "left":
		return c.left(data)
	case "resync":
		c.lost(string(data))
	case "close":
		var end struct {
			Code int `json:"code"`
		}
		if err := json.Unmarshal(data, &end); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", errEnded, strconv.Itoa(end.Code))
	}
	return nil
}
