package faulty

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// MailConfig configures a mail server.
type MailConfig struct {
	Seed               uint64
	Faults             Faults
	TLS                *tls.Config // offers STARTTLS, and requires it before anything is sent
	Username, Password string      // required, if there is a name
	Old                bool        // offers no extension, as servers of the last century
	Refusal            string      // the text of a refusal, without its codes (unknown recipient)
}

// Mail is a mail server that stores what it accepts.
type Mail struct {
	Host string
	Port int

	config   MailConfig
	dice     *dice
	listener net.Listener
	sessions sync.WaitGroup
	ctx      context.Context // of all sessions
	stop     context.CancelFunc

	mu       sync.Mutex
	emails   []Email
	open     map[net.Conn]bool
	greeted  int
	requests int
	commands []string
}

// Email is a message that the server has accepted.
type Email struct {
	From, To string // of the envelope
	Message  *mail.Message
	Body     string // as it was received, without headers
}

// ID returns the message's id without brackets and domain.
func (l Email) ID() string {
	id, _, _ := strings.Cut(strings.Trim(l.Message.Header.Get("Message-Id"), "<>"), "@")
	return id
}

// NewMail starts a server. Close must be called.
func NewMail(c MailConfig) (*Mail, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it listens until Close
	if err != nil {
		return nil, err
	}
	at := l.Addr().(*net.TCPAddr)
	s := &Mail{
		Host: at.IP.String(), Port: at.Port, config: c, dice: newDice(c.Seed, c.Faults),
		listener: l, open: map[net.Conn]bool{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.sessions.Go(s.accept)
	return s, nil
}

// Close ends all sessions.
func (s *Mail) Close() {
	s.stop()
	_ = s.listener.Close()
	s.Drop()
	s.sessions.Wait()
}

// Drop ends the open connections, as a server does that restarts.
func (s *Mail) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
}

// Emails returns the accepted messages, in order.
func (s *Mail) Emails() []Email {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Email(nil), s.emails...)
}

// Counts returns the number of connections and of messages begun.
func (s *Mail) Counts() (connections, messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.greeted, s.requests
}

// Commands returns the commands MAIL and RCPT so far, in order.
func (s *Mail) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

func (s *Mail) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		s.greeted++
		s.mu.Unlock()
		s.sessions.Go(func() {
			(&session{server: s, conn: conn, text: textproto.NewConn(conn)}).run()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
		})
	}
}

// session is an SMTP session.
type session struct {
	server        *Mail
	conn          net.Conn
	text          *textproto.Conn
	secure        bool
	authenticated bool
	from, to      string
	fault         Fault
}

var errBye = errors.New("bye")

func (s *session) run() {
	s.reply("220 faulty ESMTP")
	for {
		line, err := s.text.ReadLine()
		if err != nil || s.command(line) != nil {
			return
		}
	}
}

func (s *session) reply(lines ...string) {
	for _, l := range lines {
		_ = s.text.PrintfLine("%s", l)
	}
}

func (s *session) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	c := s.server.config
	if verb == "MAIL" || verb == "RCPT" {
		s.server.mu.Lock()
		s.server.commands = append(s.server.commands, line)
		s.server.mu.Unlock()
	}
	switch strings.ToUpper(verb) {
	case "EHLO":
		if c.Old {
			s.reply("250-faulty", "250 SIZE")
			return nil
		}
		lines := []string{"250-faulty", "250-8BITMIME", "250-SMTPUTF8"}
		if c.TLS != nil && !s.secure {
			lines = append(lines, "250-STARTTLS")
		}
		if c.Username != "" {
			lines = append(lines, "250-AUTH PLAIN")
		}
		s.reply(append(lines, "250 ENHANCEDSTATUSCODES")...)
	case "STARTTLS":
		s.reply("220 2.0.0 go ahead")
		upgraded := tls.Server(s.conn, c.TLS)
		if err := upgraded.HandshakeContext(s.server.ctx); err != nil {
			return err
		}
		s.text, s.secure = textproto.NewConn(upgraded), true
	case "AUTH":
		_, secret, _ := strings.Cut(rest, " ")
		got, _ := base64.StdEncoding.DecodeString(secret)
		if s.authenticated = string(got) == "\x00"+c.Username+"\x00"+c.Password; !s.authenticated {
			s.reply("535 5.7.8 credentials are wrong")
			return nil
		}
		s.reply("235 2.7.0 welcome")
	case "MAIL":
		return s.begin(rest)
	case "RCPT":
		s.recipient(rest)
	case "DATA":
		return s.data()
	case "RSET", "NOOP":
		s.reply("250 2.0.0 OK")
	case "QUIT":
		s.reply("221 2.0.0 bye")
		return errBye
	default:
		s.reply("502 5.5.1 unknown command")
	}
	return nil
}

func (s *session) begin(rest string) error {
	c := s.server.config
	if c.TLS != nil && !s.secure || c.Username != "" && !s.authenticated {
		s.reply("530 5.7.0 STARTTLS and AUTH first")
		return nil
	}
	s.server.mu.Lock()
	s.server.requests++
	s.server.mu.Unlock()
	s.from, s.fault = address(rest), s.server.dice.fault()
	if s.fault == Broken {
		s.reply("421 4.3.0 shutting down")
		return errBye
	}
	s.reply("250 2.1.0 OK")
	return nil
}

func (s *session) recipient(rest string) {
	s.to = address(rest)
	switch s.fault {
	case Refuse:
		text := cmp.Or(s.server.config.Refusal, "<"+s.to+"> unknown recipient")
		s.reply("550 5.1.1 " + text)
	case Busy:
		s.reply("451 4.7.1 come back later")
	default:
		s.reply("250 2.1.5 OK")
	}
}

// data accepts the message before the fault of the response, so that both outcomes of a lost
// response occur.
func (s *session) data() error {
	s.reply("354 send the message")
	content, err := io.ReadAll(s.text.DotReader())
	if err != nil {
		return err
	}
	if s.fault.accepts() {
		if !s.server.take(s.from, s.to, string(content)) {
			s.reply("554 5.6.0 not a message")
			return nil
		}
	}
	switch s.fault {
	case Silent, SilentTaken:
		return s.wait()
	case Hangup, HangupTaken, BrokenTaken:
		return errBye
	case Garbled:
		s.reply("well")
		return errBye
	}
	s.reply("250 2.0.0 accepted")
	return nil
}

// wait stays silent until the client gives up.
func (s *session) wait() error {
	stop := context.AfterFunc(s.server.ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, _ = s.text.R.ReadByte() // until the client hangs up
	return errBye
}

func (s *Mail) take(from, to, content string) bool {
	m, err := mail.ReadMessage(bufio.NewReader(strings.NewReader(content)))
	if err != nil {
		return false
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emails = append(s.emails, Email{from, to, m, string(body)})
	return true
}

// address returns the address in "FROM:<school@example.org> BODY=8BITMIME".
func address(rest string) string {
	_, rest, _ = strings.Cut(rest, "<")
	a, _, _ := strings.Cut(rest, ">")
	return a
}
