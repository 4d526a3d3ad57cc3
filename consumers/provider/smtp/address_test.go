package smtp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/consumers/provider/providertest"
	"github.com/schoolbell/schoolbell/consumers/provider/smtp"
)

func to(address string) *consumers.Delivery {
	d := letter("d1", "en")
	d.Address = address
	return d
}

func TestAddressesOutsideASCII(t *testing.T) {
	t.Parallel()
	const plain, extended = "MAIL FROM:<school@oak.example> BODY=8BITMIME",
		"MAIL FROM:<school@oak.example> BODY=8BITMIME SMTPUTF8"
	for _, c := range []struct {
		address  string
		old      bool // the server offers no extension
		commands []string
		code     string
	}{
		{address: "pat@example.com", commands: []string{plain, "RCPT TO:<pat@example.com>"}},
		{address: "pat@example.com", old: true, commands: []string{
			"MAIL FROM:<school@oak.example>", "RCPT TO:<pat@example.com>",
		}},
		{address: "pat@bücher.example", commands: []string{
			plain, "RCPT TO:<pat@xn--bcher-kva.example>",
		}},
		{address: "pat@BÜCHER.example", old: true, commands: []string{
			"MAIL FROM:<school@oak.example>", "RCPT TO:<pat@xn--bcher-kva.example>",
		}},
		{address: "pat@例え.テスト", commands: []string{plain, "RCPT TO:<pat@xn--r8jz45g.xn--zckzah>"}},
		{address: "josé@bücher.example", commands: []string{
			extended, "RCPT TO:<josé@xn--bcher-kva.example>",
		}},
		{address: "josé@example.com", old: true, code: "smtputf8"},
		{address: "a@b@c.com", code: "address"},
		{address: "pat@-.example", code: "address"},
	} {
		s := server(t, faulty.MailConfig{Old: c.old})
		_, err := client(t, smtp.Config{Host: s.Host, Port: s.Port}).Send(t.Context(), to(c.address))
		if c.code != "" {
			e := providertest.SendError(t, err)
			require.Equal(t, consumers.Permanent, e.Class, c.address)
			require.Equal(t, c.code, e.Code, c.address)
			require.NotContains(t, err.Error(), c.address)
			require.Empty(t, s.Commands(), c.address)
			continue
		}
		require.NoError(t, err, c.address)
		require.Equal(t, c.commands, s.Commands(), c.address)
		if !strings.Contains(c.commands[0], "SMTPUTF8") {
			for name, values := range s.Emails()[0].Message.Header {
				require.Regexp(t, `^[\x00-\x7f]*$`, strings.Join(values, ""), name)
			}
		}
	}
}

// A refusal leaves the connection as it was: the next message goes the same way.
func TestAConnectionOutlivesAnAddressThatTheServerCannotTake(t *testing.T) {
	t.Parallel()
	s := server(t, faulty.MailConfig{})
	p := client(t, smtp.Config{Host: s.Host, Port: s.Port})
	for _, address := range []string{"josé@example.com", "pat@example.com", "josé@example.com"} {
		_, err := p.Send(t.Context(), to(address))
		require.NoError(t, err)
	}
	connections, _ := s.Counts()
	require.Equal(t, 1, connections)
	utf8 := []bool{}
	for _, command := range s.Commands() {
		if strings.HasPrefix(command, "MAIL") {
			utf8 = append(utf8, strings.HasSuffix(command, "SMTPUTF8"))
		}
	}
	require.Equal(t, []bool{true, false, true}, utf8)
}

func TestTheServersTextIsKeptWithoutAddresses(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"":                                       "550 5.1.1 <…> unknown recipient",
		"anne@home.example: mailbox is full":     "550 5.1.1 …: mailbox is full",
		"rejected as spam, write to a.b+c@d.eu.": "550 5.1.1 rejected as spam, write to …",
		"to=<ANNE@home.example> policy":          "550 5.1.1 to=<…> policy",
		strings.Repeat("long ", 100):             "550 5.1.1 " + strings.Repeat("long ", 58) + "…",
	} {
		s := server(t, faulty.MailConfig{Faults: faulty.Faults{faulty.Refuse: 1}, Refusal: said})
		_, err := client(t, smtp.Config{Host: s.Host, Port: s.Port}).Send(t.Context(), letter("d1", "en"))
		e := providertest.SendError(t, err)
		require.Equal(t, consumers.Permanent, e.Class)
		require.Equal(t, "550", e.Code)
		require.Contains(t, err.Error(), "mail server responded "+want)
		require.NotContains(t, strings.ToLower(err.Error()), "@")
	}
}
