package kafka

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

const clientID = "schoolbell"

// maxResponse bounds the memory that a broker, or whatever responds in its place, can make us
// allocate.
const maxResponse = 512 << 20

// conn is a connection to one broker, for one exchange at a time.
type conn struct {
	net         net.Conn
	address     string
	r           *bufio.Reader
	versions    map[protocol.ApiKey]apiversions.ApiKeyResponse
	last        int32  // correlation id
	response    []byte // buffer for responses, reused
	headerNames headerNames
	used        bool // for an earlier exchange, so that it may have died since
	broken      bool // of no more use
}

// dialer opens connections; kafka-go's consumer group opens its own through it too.
type dialer struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	tls     *tls.Config
	sasl    sasl.Mechanism
	timeout time.Duration
}

// open connects to an address, with TLS if so configured.
func (d *dialer) open(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	c, err := d.dial(ctx, network, address)
	if err != nil || d.tls == nil {
		return c, err
	}
	config := d.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}

// connect opens a connection, learns what the broker can do, and authenticates.
func (d *dialer) connect(ctx context.Context, address string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	nc, err := d.open(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	c := &conn{
		net: nc, address: address, r: bufio.NewReaderSize(nc, 64<<10), headerNames: headerNames{},
	}
	if err := c.exchange(ctx, func() error { return c.negotiate(ctx, d.sasl) }); err != nil {
		c.net.Close()
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return c, nil
}

func (c *conn) negotiate(ctx context.Context, mechanism sasl.Mechanism) error {
	m, err := c.callVersion(&apiversions.Request{}, 0)
	if err != nil {
		return fmt.Errorf("request API versions: %w", err)
	}
	response := m.(*apiversions.Response)
	if response.ErrorCode != 0 {
		return fmt.Errorf("request API versions: %w", kafkago.Error(response.ErrorCode))
	}
	c.versions = make(map[protocol.ApiKey]apiversions.ApiKeyResponse, len(response.ApiKeys))
	for _, v := range response.ApiKeys {
		c.versions[protocol.ApiKey(v.ApiKey)] = v
	}
	for _, need := range requiredVersions {
		if v := c.versions[need.key]; v.MinVersion > need.version || v.MaxVersion < need.version {
			return &unsupportedError{
				fmt.Sprintf(
					"it supports versions %d to %d of %s but Schoolbell needs %d: use Kafka 3.1 or later",
					v.MinVersion, v.MaxVersion, need.key, need.version,
				),
			}
		}
	}
	if mechanism == nil {
		return nil
	}
	if err := c.authenticate(ctx, mechanism); err != nil {
		return &refusedError{fmt.Errorf("authenticate by %s: %w", mechanism.Name(), err)}
	}
	return nil
}

func (c *conn) authenticate(ctx context.Context, mechanism sasl.Mechanism) error {
	m, err := c.call(&saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return err
	}
	if code := m.(*saslhandshake.Response).ErrorCode; code != 0 {
		return kafkago.Error(code)
	}
	host, port, _ := net.SplitHostPort(c.address)
	n, _ := strconv.Atoi(port)
	session, token, err := mechanism.Start(
		sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: n}),
	)
	for done := false; !done && err == nil; {
		if m, err = c.call(&saslauthenticate.Request{AuthBytes: token}); err != nil {
			break
		}
		response := m.(*saslauthenticate.Response)
		if response.ErrorCode != 0 {
			return fmt.Errorf("%w: %s", kafkago.Error(response.ErrorCode), response.ErrorMessage)
		}
		done, token, err = session.Next(ctx, response.AuthBytes)
	}
	return err
}

// unsupportedError: this broker cannot be used, now or later.
type unsupportedError struct{ reason string }

func (e *unsupportedError) Error() string { return e.reason }

// refusedError: the broker did not accept our credentials. Some brokers just close the connection,
// which one that is shutting down does too: Open treats it as a refusal, later requests as a fault
// that may pass.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// exchange runs one conversation and ends it when ctx does.
func (c *conn) exchange(ctx context.Context, exchange func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.net.SetDeadline(time.Unix(1, 0)) })
	err := exchange()
	if !stop() {
		c.broken = true // the deadline is set, or will be at any moment
		if err != nil {
			return ctx.Err()
		}
	}
	return err
}

// call sends one of kafka-go's messages, in the highest version that both sides know.
func (c *conn) call(req protocol.Message) (protocol.Message, error) {
	v := c.versions[req.ApiKey()]
	return c.callVersion(req, req.ApiKey().SelectVersion(v.MinVersion, v.MaxVersion))
}

func (c *conn) callVersion(req protocol.Message, version int16) (protocol.Message, error) {
	c.last++
	c.broken = true // until the response has arrived
	if err := protocol.WriteRequest(c.net, version, c.last, clientID, req); err != nil {
		return nil, err
	}
	id, response, err := protocol.ReadResponse(c.r, req.ApiKey(), version)
	if err != nil {
		return nil, err
	}
	if id != c.last {
		return nil, errors.New("response to another request")
	}
	c.broken = false
	return response, nil
}

// send sends one of our own messages and returns a decoder at the response's first field. The
// response stays valid until the next one.
func (c *conn) send(m message, body func(*encoder)) (*decoder, error) {
	c.last++
	var e encoder
	e.int32(0) // length, below
	e.int16(int16(m.key))
	e.int16(m.version)
	e.int32(c.last)
	e.int16(int16(len(clientID)))
	e.raw([]byte(clientID))
	e.noTags()
	body(&e)
	binary.BigEndian.PutUint32(e, uint32(len(e)-4))
	c.broken = true // until the response has arrived
	if _, err := c.net.Write(e); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n > maxResponse {
		return nil, fmt.Errorf("response of %d bytes: %w", n, errMalformed)
	}
	if cap(c.response) < n {
		c.response = make([]byte, n)
	}
	c.response = c.response[:n]
	if _, err := io.ReadFull(c.r, c.response); err != nil {
		return nil, err
	}
	d := &decoder{b: c.response}
	if id := d.int32(); id != c.last {
		return nil, errors.New("response to another request")
	}
	c.broken = false
	d.tags()
	return d, d.err()
}
