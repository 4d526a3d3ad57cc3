package smtp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"mime"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/consumers/provider/providertest"
	"github.com/schoolbell/schoolbell/consumers/provider/smtp"
	"github.com/schoolbell/schoolbell/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(t *testing.T, c faulty.MailConfig) *faulty.Mail {
	t.Helper()
	s, err := faulty.NewMail(c)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, c smtp.Config) *smtp.Provider {
	t.Helper()
	catalog, err := wording.Open()
	require.NoError(t, err)
	c.Writer = provider.Writer{
		Catalog: catalog,
		Link: func(context.Context, *consumers.Delivery) (string, error) {
			return "https://oak.example/d/1?s=a&t=b", nil
		},
	}
	c.From = "school@oak.example"
	if c.Security == "" {
		c.Security = smtp.Plain
	}
	p, err := smtp.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func letter(id, language string) *consumers.Delivery {
	return &consumers.Delivery{
		ID: id, School: "oak", Recipient: "g1", Channel: consumers.Email,
		Address: "anne@home.example", Language: language,
		Sender: "École du Chêne", Template: wording.Receipt, DependsOn: "d0",
		Params: wording.Params{
			Sender: "École du Chêne", Student: "Zoë <Roi>", Payment: "P1", Invoice: "I1",
			Amount: 12050, Currency: "EUR", Method: "card",
			Date: domain.NewDate(2026, 9, 1),
		}.Encode(),
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	s := server(t, faulty.MailConfig{})
	p := client(t, smtp.Config{Host: s.Host, Port: s.Port})
	r, err := p.Send(t.Context(), letter("d1", "fr"))
	require.NoError(t, err)
	require.Equal(t, consumers.Receipt{State: consumers.Sent, ProviderID: "d1@oak.example"}, r)

	got := s.Emails()[0]
	require.Equal(t, "school@oak.example", got.From)
	require.Equal(t, "anne@home.example", got.To)
	require.Equal(t, "d1", got.ID())
	word := new(mime.WordDecoder)
	header := func(name string) string {
		v, err := word.DecodeHeader(got.Message.Header.Get(name))
		require.NoError(t, err)
		return v
	}
	require.Equal(t, "École du Chêne <school@oak.example>", header("From"))
	require.Equal(t, "Paiement reçu pour Zoë <Roi>", header("Subject"))
	require.Equal(t, "fr", header("Content-Language"))
	require.Equal(t, "auto-generated", header("Auto-Submitted"))
	text, page := parts(t, got)
	require.Equal(t, "Merci : nous avons reçu 120,50 EUR pour Zoë <Roi> par carte.\n\nReçu : P1\nFacture : I1\n\n"+
		"Ouvrir le document : https://oak.example/d/1?s=a&t=b\n\n-- \nÉcole du Chêne\n", text)
	require.Contains(t, page, `<html lang="fr" dir="ltr">`)
	require.Contains(t, page, `Zoë &lt;Roi&gt;`)
	require.Contains(t, page, `<a href="https://oak.example/d/1?s=a&amp;t=b">`)

	_, err = p.Send(t.Context(), letter("d2", "ar"))
	require.NoError(t, err)
	_, page = parts(t, s.Emails()[1])
	require.Contains(t, page, `<html lang="ar" dir="rtl">`)
	connections, messages := s.Counts()
	require.Equal(t, 1, connections, "a connection is used again")
	require.Equal(t, 2, messages)

	s.Drop() // noticed before the next message is sent on it
	_, err = p.Send(t.Context(), letter("d3", "en"))
	require.NoError(t, err)
	require.Len(t, s.Emails(), 3)
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	providertest.ErrorClasses(t, "anne", []providertest.Outcome{
		{Fault: faulty.Busy, Class: consumers.Temporary, Code: "451"},
		{Fault: faulty.Broken, Class: consumers.Temporary, Code: "421"},
		{Fault: faulty.Refuse, Class: consumers.Permanent, Code: "550"},
		{Fault: faulty.Silent, Class: consumers.Unsure, Code: "no_answer"},
		{Fault: faulty.SilentTaken, Class: consumers.Unsure, Code: "no_answer", Taken: 1},
		{Fault: faulty.Hangup, Class: consumers.Unsure, Code: "no_answer"},
		{Fault: faulty.HangupTaken, Class: consumers.Unsure, Code: "no_answer", Taken: 1},
		{Fault: faulty.Garbled, Class: consumers.Unsure, Code: "no_answer", Taken: 1},
	}, func(t *testing.T, fault faulty.Fault) (a providertest.Attempt) {
		s := server(t, faulty.MailConfig{Faults: faulty.Faults{fault: 1}})
		a.Receipt, a.Err = client(t,
			smtp.Config{
				Host: s.Host, Port: s.Port,
				Timeout: 200 * time.Millisecond,
			}).Send(t.Context(), letter("d1", "en"))
		_, a.Requests = s.Counts()
		a.Taken = len(s.Emails())
		return a
	})
}

func TestASendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := server(t, faulty.MailConfig{Faults: faulty.Faults{faulty.SilentTaken: 1}})
	p := client(t, smtp.Config{Host: s.Host, Port: s.Port, Timeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := p.Send(ctx, letter("d1", "en"))
	require.Equal(t, consumers.Unsure, providertest.SendError(t, err).Class)
}

func TestConnectionsAreProtected(t *testing.T) {
	t.Parallel()
	certified := httptest.NewUnstartedServer(nil) // for its certificate
	certified.StartTLS()
	defer certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	s := server(t, faulty.MailConfig{
		TLS: &tls.Config{
			Certificates: certified.TLS.Certificates,
			MinVersion:   tls.VersionTLS12,
		},
		Username: "oak", Password: "secret",
	})
	config := smtp.Config{
		Host: s.Host, Port: s.Port, Security: smtp.StartTLS, Username: "oak", Password: "secret",
		TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	_, err := client(t, config).Send(t.Context(), letter("d1", "en"))
	require.NoError(t, err)

	wrong := config
	wrong.Password = "guess"
	_, err = client(t, wrong).Send(t.Context(), letter("d2", "en"))
	require.Equal(t, consumers.Temporary, providertest.SendError(t, err).Class,
		"the configuration can be fixed")
	require.NotContains(t, err.Error(), "guess")

	stranger := config
	stranger.TLS = nil
	_, err = client(t, stranger).Send(t.Context(), letter("d3", "en"))
	require.Equal(t, consumers.Temporary, providertest.SendError(t, err).Class)
	require.ErrorContains(t, err, "certificate")

	bare := server(t, faulty.MailConfig{})
	config.Host, config.Port = bare.Host, bare.Port
	_, err = client(t, config).Send(t.Context(), letter("d4", "en"))
	require.Equal(t, consumers.Temporary, providertest.SendError(t, err).Class,
		"without STARTTLS nothing is sent")
	require.Empty(t, bare.Emails())
	require.Len(t, s.Emails(), 1)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	err := smtp.Config{Port: -1, Security: "odd", From: "no address", Rate: -1}.Validate()
	for _, fault := range []string{
		"a host is required", "port", "security", "mail sender",
		"negative", "wording",
	} {
		require.ErrorContains(t, err, fault)
	}
	require.ErrorContains(t, smtp.Config{Security: smtp.Plain, Username: "u"}.Validate(),
		"protected connection")
}

// parts returns the text and the HTML page of a message.
func parts(t *testing.T, l faulty.Email) (text, page string) {
	t.Helper()
	_, params, err := mime.ParseMediaType(l.Message.Header.Get("Content-Type"))
	require.NoError(t, err)
	r := multipart.NewReader(strings.NewReader(l.Body), params["boundary"])
	for _, to := range []*string{&text, &page} {
		part, err := r.NextPart() // it decodes quoted-printable
		require.NoError(t, err)
		content, err := io.ReadAll(part)
		require.NoError(t, err)
		*to = strings.ReplaceAll(string(content), "\r\n", "\n")
	}
	return text, page
}
