package faulty

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// PushConfig configures a push service.
type PushConfig struct {
	Seed       uint64
	Faults     Faults
	RetryAfter time.Duration // the delay that Busy demands, in whole seconds
}

// Push is a push service together with the browsers that have subscribed to it: it has their keys
// and decrypts their notices.
type Push struct {
	service
	config PushConfig

	mu       sync.Mutex
	browsers map[string]*Browser
	notices  []Notice
	requests int
}

// Browser is a subscription with the secrets that only the browser has.
type Browser struct {
	Endpoint, P256dh, Auth string

	key    *ecdh.PrivateKey
	secret []byte
	gone   bool
}

// Notice is a notice that a browser has received.
type Notice struct {
	Endpoint string
	Payload  string // decrypted
	Topic    string
	Urgency  string
	TTL      int
	Contact  string // of the sender
	Padded   int    // the size of the record in bytes
}

// NewPush starts a service. Close must be called.
func NewPush(c PushConfig) *Push {
	p := &Push{config: c, browsers: map[string]*Browser{}}
	p.service = newService(c.Seed, c.Faults, http.HandlerFunc(p.serve))
	return p
}

// Close stops the service.
func (p *Push) Close() { p.close() }

// Subscribe creates a browser.
func (p *Push) Subscribe() (*Browser, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	b := &Browser{key: key, secret: make([]byte, 16)}
	if _, err := rand.Read(b.secret); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b.Endpoint = p.URL + "/push/" + strconv.Itoa(len(p.browsers)+1)
	b.P256dh = base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
	b.Auth = base64.RawURLEncoding.EncodeToString(b.secret)
	p.browsers[b.Endpoint] = b
	return b, nil
}

// Unsubscribe removes a browser.
func (p *Push) Unsubscribe(b *Browser) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.gone = true
}

// Notices returns the accepted notices, in order.
func (p *Push) Notices() []Notice {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Notice(nil), p.notices...)
}

// Requests returns the number of requests.
func (p *Push) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// serve checks and decrypts a message as the standards demand before the fault is drawn, so that a
// test also proves what the provider sends.
func (p *Push) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8192))
	if err != nil {
		return
	}
	fault := p.dice.fault()
	p.mu.Lock()
	p.requests++
	b := p.browsers[p.URL+r.URL.Path]
	p.mu.Unlock()
	switch {
	case b == nil || r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
		return
	case b.isGone(p):
		w.WriteHeader(http.StatusGone)
		return
	}
	n, err := p.open(r, b, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if fault.accepts() {
		p.mu.Lock()
		p.notices = append(p.notices, n)
		w.Header().Set("Location", p.URL+"/message/"+strconv.Itoa(len(p.notices)))
		p.mu.Unlock()
	}
	if !p.interrupt(r, fault) {
		p.respond(w, fault)
	}
}

func (p *Push) respond(w http.ResponseWriter, fault Fault) {
	switch fault {
	case Busy:
		demand(w, p.config.RetryAfter)
		w.WriteHeader(http.StatusTooManyRequests)
	case Broken, BrokenTaken:
		w.WriteHeader(http.StatusInternalServerError)
	case Refuse:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	default:
		w.WriteHeader(http.StatusCreated)
	}
}

func (b *Browser) isGone(p *Push) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return b.gone
}

// open checks what the standards demand of a message and decrypts it.
func (p *Push) open(r *http.Request, b *Browser, body []byte) (Notice, error) {
	n := Notice{
		Endpoint: b.Endpoint, Topic: r.Header.Get("Topic"),
		Urgency: r.Header.Get("Urgency"), Padded: len(body),
	}
	var err error
	if n.TTL, err = strconv.Atoi(r.Header.Get("TTL")); err != nil {
		return n, errors.New("TTL is missing")
	}
	if len(n.Topic) > 32 {
		return n, errors.New("topic is longer than 32 characters")
	}
	if r.Header.Get("Content-Encoding") != "aes128gcm" || len(body) > 4096 {
		return n, errors.New("content is not one record of aes128gcm")
	}
	if n.Contact, err = p.verifyVAPID(r.Header.Get("Authorization")); err != nil {
		return n, err
	}
	n.Payload, err = b.decrypt(body)
	return n, err
}

// verifyVAPID checks a VAPID token and returns the sender's contact.
func (p *Push) verifyVAPID(authorization string) (contact string, err error) {
	var signed, public string
	rest, ok := strings.CutPrefix(authorization, "vapid ")
	if !ok {
		return "", errors.New("sender is not identified")
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			signed = value
		case "k":
			public = value
		}
	}
	point, err := base64.RawURLEncoding.DecodeString(public)
	if err != nil {
		return "", err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return "", err
	}
	claims := &jwt.RegisteredClaims{}
	if _, err := jwt.ParseWithClaims(signed, claims,
		func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(p.URL),
		jwt.WithExpirationRequired()); err != nil {
		return "", err
	}
	if time.Until(claims.ExpiresAt.Time) > 24*time.Hour {
		return "", errors.New("token is valid for more than a day")
	}
	return claims.Subject, nil
}

// decrypt reads a message as a browser does (RFC 8188, RFC 8291).
func (b *Browser) decrypt(body []byte) (string, error) {
	if len(body) < 21 || len(body) < 21+int(body[20]) {
		return "", errors.New("message is too short")
	}
	salt, size, public, sealed := body[:16], binary.BigEndian.Uint32(body[16:20]),
		body[21:21+int(body[20])], body[21+int(body[20]):]
	if int(size) < len(sealed) {
		return "", errors.New("message is not one record")
	}
	theirs, err := ecdh.P256().NewPublicKey(public)
	if err != nil {
		return "", err
	}
	agreed, err := b.key.ECDH(theirs)
	if err != nil {
		return "", err
	}
	extracted, err := hkdf.Extract(sha256.New, agreed, b.secret)
	if err != nil {
		return "", err
	}
	info := "WebPush: info\x00" + string(b.key.PublicKey().Bytes()) + string(public)
	material, err := hkdf.Expand(sha256.New, extracted, info, 32)
	if err != nil {
		return "", err
	}
	if extracted, err = hkdf.Extract(sha256.New, material, salt); err != nil {
		return "", err
	}
	key, err := hkdf.Expand(sha256.New, extracted, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return "", err
	}
	nonce, err := hkdf.Expand(sha256.New, extracted, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	opener, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	plain, err := opener.Open(nil, nonce, sealed, nil)
	if err != nil {
		return "", fmt.Errorf("decrypt: %w", err)
	}
	text := strings.TrimRight(string(plain), "\x00")
	if !strings.HasSuffix(text, "\x02") {
		return "", errors.New("record is not the last one")
	}
	return strings.TrimSuffix(text, "\x02"), nil
}
