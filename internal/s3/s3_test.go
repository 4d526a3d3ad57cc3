package s3_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/document/documenttest"
	"github.com/schoolbell/schoolbell/internal/s3"
)

var _ document.Blobs = (*s3.Bucket)(nil)

// serve starts a server of objects that checks signatures, with one bucket.
func serve(t *testing.T) s3.Config {
	t.Helper()
	fake := gofakes3.New(s3mem.New(), gofakes3.WithV4Auth(map[string]string{"key": "secret"}))
	server := httptest.NewServer(fake.Server())
	t.Cleanup(server.Close)
	cfg := s3.Config{
		Endpoint: server.URL, Bucket: "documents", Region: "us-east-1",
		AccessKey: "key", SecretKey: "secret",
	}
	client, err := minio.New(server.Listener.Addr().String(), &minio.Options{
		Creds: credentials.NewStaticV4("key", "secret", ""), Region: "us-east-1",
	})
	require.NoError(t, err)
	require.NoError(t, client.MakeBucket(t.Context(), "documents", minio.MakeBucketOptions{}))
	return cfg
}

func TestABucketStoresDocuments(t *testing.T) {
	t.Parallel()
	bucket, err := s3.Open(serve(t))
	require.NoError(t, err)
	documenttest.Suite(t, bucket)
}

func TestAWrongKeyIsRefused(t *testing.T) {
	t.Parallel()
	cfg := serve(t)
	cfg.SecretKey = "another"
	bucket, err := s3.Open(cfg)
	require.NoError(t, err)
	store := document.NewStore(bucket)
	_, err = store.Put(t.Context(), []byte("x"))
	require.Error(t, err)
	_, err = store.Get(t.Context(),
		"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

func TestASilentServerTimesOut(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(done); server.Close() })
	bucket, err := s3.Open(s3.Config{
		Endpoint: server.URL, Bucket: "documents", Region: "us-east-1", AccessKey: "key",
		SecretKey: "secret",
		Timeout:   50 * time.Millisecond,
	})
	require.NoError(t, err)
	_, err = bucket.Read(t.Context(), "documents/x", 10)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := s3.Open(s3.Config{Endpoint: "host:9000/path", Timeout: -1})
	for _, part := range []string{"endpoint", "bucket", "access key", "secret key", "timeout"} {
		require.ErrorContains(t, err, part)
	}
}
