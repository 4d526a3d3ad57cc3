// Package s3 stores blobs in an S3-compatible object store. [Bucket] implements the Blobs of
// package consumers/document, whose suite (documenttest) it has to pass: start there to change what
// it promises.
package s3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Config is how to reach a bucket. A zero value means the default in parentheses.
type Config struct {
	Endpoint  string        // https://host[:port] or http://host[:port]; required
	Bucket    string        // required; it must exist
	Region    string        // (looked up)
	AccessKey string        // required
	SecretKey string        // required
	Timeout   time.Duration // of one operation, with its retries (20 s)
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var faults []error
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") ||
		(u.Path != "" && u.Path != "/") {
		faults = append(faults,
			errors.New("object store: the endpoint is malformed: want https://host[:port]"))
	}
	for _, f := range []struct{ name, value string }{
		{"bucket", c.Bucket},
		{"access key", c.AccessKey},
		{"secret key", c.SecretKey},
	} {
		if f.value == "" {
			faults = append(faults, fmt.Errorf("object store: %s is required", f.name))
		}
	}
	if c.Timeout < 0 {
		faults = append(faults, fmt.Errorf("object store: timeout %s is negative", c.Timeout))
	}
	return errors.Join(faults...)
}

// Bucket stores blobs as objects. It is safe for concurrent use.
type Bucket struct {
	client  *minio.Client
	name    string
	timeout time.Duration
}

// Open returns a bucket. It does not connect yet.
func Open(cfg Config) (*Bucket, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds:      credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, ""),
		Secure:     u.Scheme == "https",
		Region:     cfg.Region,
		MaxRetries: 3,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 10 * time.Second,
			IdleConnTimeout:       time.Minute,
			MaxIdleConnsPerHost:   8,
			DisableCompression:    true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	return &Bucket{client, cfg.Bucket, cmp.Or(cfg.Timeout, 20*time.Second)}, nil
}

// Write stores a blob under a name. Readers see all of it or nothing, and writing the same again is
// safe.
func (b *Bucket) Write(ctx context.Context, name string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	_, err := b.client.PutObject(ctx, b.name, name, bytes.NewReader(body), int64(len(body)),
		minio.PutObjectOptions{ContentType: http.DetectContentType(body), DisableMultipart: true})
	if err != nil {
		return fmt.Errorf("write object %s: %w", name, err)
	}
	return nil
}

// Read returns the blob of a name, or [fs.ErrNotExist]. A blob larger than maxBytes is an error, so
// that a foreign object in the bucket cannot exhaust memory.
func (b *Bucket) Read(ctx context.Context, name string, maxBytes int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	object, err := b.client.GetObject(ctx, b.name, name, minio.GetObjectOptions{})
	if err != nil {
		return nil, readError(name, err)
	}
	defer object.Close()
	body, err := io.ReadAll(io.LimitReader(object, maxBytes+1))
	if err != nil {
		return nil, readError(name, err)
	}
	if int64(len(body)) > maxBytes {
		return nil, fmt.Errorf("read object %s: larger than allowed, at most %d bytes", name, maxBytes)
	}
	return body, nil
}

func readError(name string, err error) error {
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return fmt.Errorf("object %s: %w", name, fs.ErrNotExist)
	}
	return fmt.Errorf("read object %s: %w", name, err)
}
