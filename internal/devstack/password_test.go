package devstack

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Other users of the machine reach the ports, and must not get further.
func TestEmbeddedServersNeedTheirPassword(t *testing.T) {
	t.Parallel()
	k, err := StartKafka(KafkaConfig{Password: "secret"})
	require.NoError(t, err)
	t.Cleanup(k.Stop)
	ping := func(options ...kgo.Opt) error {
		client, err := kgo.NewClient(append(options, kgo.SeedBrokers(k.Brokers()...))...)
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return client.Ping(ctx)
	}
	as := func(password string) kgo.Opt {
		return kgo.SASL(scram.Auth{User: KafkaUser, Pass: password}.AsSha256Mechanism())
	}
	require.NoError(t, ping(as("secret")))
	require.Error(t, ping(as("guess")))
	require.Error(t, ping(kgo.SASL(scram.Auth{User: "admin", Pass: "admin"}.AsSha256Mechanism())),
		"kfake's own user")
	require.Error(t, ping())

	r, err := StartRedis("secret")
	require.NoError(t, err)
	t.Cleanup(r.Stop)
	options, err := redis.ParseURL(r.URL())
	require.NoError(t, err)
	for password, works := range map[string]bool{"secret": true, "guess": false, "": false} {
		options.Password = password
		client := redis.NewClient(options)
		require.Equal(t, works, client.Ping(t.Context()).Err() == nil, password)
		require.NoError(t, client.Close())
	}
}
