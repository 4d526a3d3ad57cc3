package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// API is how the API behaves.
type API struct {
	WaitLimit   time.Duration `env:"WAIT_LIMIT" default:"2s" help:"How long a read waits for the position it requires."`
	AppendLimit time.Duration `env:"APPEND_LIMIT" default:"10s" help:"How long a producer waits for the log."`
	EventRate   float64       `env:"EVENT_RATE" default:"50000" help:"Events per second that one token may publish, with bursts of two seconds' worth."`
	RequestRate float64       `env:"REQUEST_RATE" default:"500" help:"Requests per second of one school, other than events, with bursts of two seconds' worth."`
	Reads       int           `env:"READS" default:"4" help:"Reads of one school that run at the same time; others wait a second for their turn."`
	EndShare    float64       `name:"import-end-share" env:"IMPORT_END_SHARE" default:"0.1" help:"Share of a school's students, staff or guardians' links that an import may end without a consent to their number."`
	Connections int           `env:"CONNECTIONS" default:"10000" help:"Maximum open connections; further ones wait."`
	Origins     []string      `env:"ORIGINS" placeholder:"URL" help:"Origins of browser pages that may call the API, for example https://app.school.example."`
	Webhooks    []string      `name:"webhook-origins" env:"WEBHOOK_ORIGINS" placeholder:"HOST" help:"Systems that may push events as webhooks of CloudEvents, by the name that they give in the handshake, for example eventgrid.azure.net; * allows any. Each delivery needs a token all the same."`
	PerAddress  int           `name:"connections-per-address" env:"CONNECTIONS_PER_ADDRESS" default:"0" help:"Maximum open connections of one address, or /64 network with IPv6; 0 is a tenth of all. Trusted proxies and private networks have no limit of their own."`
	Proxies     []string      `name:"trusted-proxies" env:"TRUSTED_PROXIES" placeholder:"CIDR" help:"Addresses of proxies that are believed when they say for whom they connect."`
	ProxyHeader string        `name:"proxy-header" env:"PROXY_HEADER" default:"x-forwarded-for" enum:"x-forwarded-for,forwarded,proxy-protocol" help:"How trusted proxies say it: ${enum}. Only this one is read."`
	BehindTLS   bool          `name:"behind-tls" env:"BEHIND_TLS" help:"A proxy in front terminates TLS; browsers are told to use only HTTPS."`
}

// Config returns the configuration of package httpapi.
func (a API) Config(version string) httpapi.Config {
	return httpapi.Config{
		Version:        version,
		WaitLimit:      a.WaitLimit,
		AppendLimit:    a.AppendLimit,
		EventRate:      a.EventRate,
		RequestRate:    a.RequestRate,
		ReadsPerSchool: a.Reads,
		AllowedOrigins: a.Origins,
		WebhookOrigins: a.Webhooks,
		BehindTLS:      a.BehindTLS,
		TrustedProxies: a.TrustedProxies(),
		ProxyHeader:    httpapi.ProxyHeader(a.ProxyHeader),
	}
}

// TrustedProxies returns the networks of the trusted proxies; those that are no networks are left to
// validate.
func (a API) TrustedProxies() []netip.Prefix {
	var networks []netip.Prefix
	for _, p := range a.Proxies {
		if network, err := parseNetwork(p); err == nil {
			networks = append(networks, network)
		}
	}
	return networks
}

// parseNetwork parses a network, or an address, which is one of its own.
func parseNetwork(s string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

func (a API) validate() error {
	err := a.Config("").Validate()
	if a.Reads < 1 {
		err = errors.Join(err, fmt.Errorf("api-reads: %d is less than 1", a.Reads))
	}
	if !(a.EndShare > 0 && a.EndShare <= 1) {
		err = errors.Join(err, fmt.Errorf("api-import-end-share: %g is not a share above 0 and up to 1",
			a.EndShare))
	}
	if a.Connections < 1 {
		err = errors.Join(err, fmt.Errorf("api-connections: %d is less than 1", a.Connections))
	}
	if a.PerAddress < 0 {
		err = errors.Join(err,
			fmt.Errorf("api-connections-per-address: %d is negative", a.PerAddress))
	}
	for _, p := range a.Proxies {
		if _, fault := parseNetwork(p); fault != nil {
			err = errors.Join(err, fmt.Errorf("api-trusted-proxies: %q is no network such as "+
				"10.0.0.0/8", p))
		}
	}
	return err
}
