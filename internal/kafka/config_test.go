package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

func TestValidateReportsAllFaults(t *testing.T) {
	t.Parallel()
	require.NoError(t, kafka.Config{Brokers: []string{"localhost:9092"}}.Validate())
	err := kafka.Config{
		Brokers:        []string{"localhost"},
		Partitions:     -1,
		MaxRecordBytes: 9 << 20,
		MaxQueueBytes:  1 << 20,
		Heartbeat:      5 * time.Second,
		SASL:           &kafka.SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"},
	}.Validate()
	for _, want := range []string{
		`brokers: "localhost" is not host:port`,
		"partitions: must not be negative",
		"largest record: 9437184 bytes do not fit into a batch of 8388608",
		"queue: 1048576 bytes do not hold a batch of 8388608",
		"heartbeat: 5s is more than a third of the session, 6s",
		`sasl: mechanism "GSSAPI" is not PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, kafka.Config{}.Validate(), "at least one address")
}

// A topic that exists is taken as it is when it is fit to be the log, and refused with advice when
// it is not.
func TestOpenChecksTheTopic(t *testing.T) {
	t.Parallel()
	fit := map[string]string{"retention.ms": "-1", "max.message.bytes": "9000000"}
	for name, test := range map[string]struct {
		topic    map[string]string
		config   kafka.Config
		refusals []string
	}{
		"fit":                   {topic: fit},
		"as many partitions":    {topic: fit, config: kafka.Config{Partitions: 3}},
		"other partitions":      {topic: fit, config: kafka.Config{Partitions: 4}, refusals: []string{"has 3 partitions and the configuration has 4"}},
		"forgets":               {topic: map[string]string{"max.message.bytes": "9000000"}, refusals: []string{"retains records for 168h0m0s", "set its retention.ms to -1"}},
		"keeps long enough":     {topic: map[string]string{"max.message.bytes": "9000000"}, config: kafka.Config{Retention: 24 * time.Hour}},
		"keeps too short":       {topic: map[string]string{"max.message.bytes": "9000000"}, config: kafka.Config{Retention: 1000 * time.Hour}, refusals: []string{"set its retention.ms to 3600000000"}},
		"small batches suffice": {topic: map[string]string{"retention.ms": "-1"}, config: kafka.Config{MaxBatchBytes: 900 << 10, MaxRecordBytes: 1 << 10}},
		"everything": {
			topic: map[string]string{"cleanup.policy": "compact", "retention.bytes": "1000"},
			refusals: []string{
				`cleanup.policy is "compact"`, "set its retention.bytes to -1", "retains records for 168h",
				"accepts batches of 1048588 bytes but 8454144 are needed: set its max.message.bytes to 8454144",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
			require.NoError(t, err)
			t.Cleanup(cluster.Close)
			require.NoError(t, cluster.CreateTopic("events", 3, test.topic))
			config := test.config
			config.Brokers, config.Topic = cluster.ListenAddrs(), "events"
			log, err := kafka.Open(t.Context(), config, slog.New(slog.DiscardHandler), nil)
			if test.refusals == nil {
				require.NoError(t, err)
				require.NoError(t, log.Close())
				return
			}
			for _, want := range test.refusals {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestOpenWaitsForKafka(t *testing.T) {
	t.Parallel()
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := nowhere.Addr().String()
	require.NoError(t, nowhere.Close())
	config := kafka.Config{Brokers: []string{address}, ConnectTimeout: 2 * time.Second}
	_, err = kafka.Open(t.Context(), config, slog.New(slog.DiscardHandler), nil)
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	require.ErrorContains(t, err, "connection refused")
}

// The log works through TLS and each way to authenticate, group included; a wrong password is
// distinguished from a broker that is away.
func TestTLSAndSASL(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := certificates(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(serverTLS),
				kfake.EnableSASL(), kfake.Superuser(mechanism, "schoolbell", "secret"))
			require.NoError(t, err)
			t.Cleanup(cluster.Close)
			config := kafka.Config{
				Brokers: cluster.ListenAddrs(), Partitions: 2, TLS: clientTLS,
				SASL: &kafka.SASL{Mechanism: mechanism, Username: "schoolbell", Password: "secret"},
			}
			log := open(t, config, nil)
			at, err := log.Append(t.Context(), "school", []eventlog.Record{{Value: []byte("x")}})
			require.NoError(t, err)
			batch, err := log.Fetch(t.Context(), at.Partition, at.Offset, 1<<20, 0)
			require.NoError(t, err)
			require.Len(t, batch.Records, 1)
			ctx, cancel := context.WithCancel(t.Context())
			require.NoError(t,
				log.Consume(ctx, "group", func(ctx context.Context, _ eventlog.Assignment) error {
					cancel()
					<-ctx.Done()
					return nil
				}))

			config.SASL = &kafka.SASL{
				Mechanism: mechanism, Username: "schoolbell", Password: "wrong",
			}
			_, err = kafka.Open(t.Context(), config, slog.New(slog.DiscardHandler), nil)
			require.ErrorContains(t, err, "authenticate by "+mechanism)
			require.NotErrorIs(t, err, eventlog.ErrUnavailable)

			config.TLS = &tls.Config{} // does not trust the broker's certificate
			_, err = kafka.Open(t.Context(), config, slog.New(slog.DiscardHandler), nil)
			require.ErrorContains(t, err, "certificate")
			require.NotErrorIs(t, err, eventlog.ErrUnavailable)
		})
	}
}

// certificates makes a certificate for the loopback address, and what each side needs of it.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "kafka"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     []string{"localhost"},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
	return server, &tls.Config{RootCAs: pool}
}
