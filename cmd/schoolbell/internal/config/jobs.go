package config

import (
	"errors"
	"fmt"
	"time"
)

// Jobs says how deliveries are executed.
type Jobs struct {
	SMS          int `name:"sms" env:"SMS" default:"100" placeholder:"N" help:"Concurrent text messages."`
	PDF          int `name:"pdf" env:"PDF" default:"2" placeholder:"N" help:"Concurrent documents."`
	Notification int `env:"NOTIFICATION" default:"200" placeholder:"N" help:"Concurrent notifications."`
	Attempts     int `env:"ATTEMPTS" default:"10" placeholder:"N" help:"Attempts before a delivery is dead and waits for an operator."`
}

// ProviderTimeout is how long a provider may take to respond. It is not a setting: what takes
// longer counts as an unknown outcome, and the fence of the ledger depends on an upper bound.
const ProviderTimeout = 10 * time.Second

func (j Jobs) validate() error {
	var faults []error
	for _, n := range []struct {
		name  string
		value int
	}{
		{"jobs-sms", j.SMS},
		{"jobs-pdf", j.PDF},
		{"jobs-notification", j.Notification},
		{"jobs-attempts", j.Attempts},
	} {
		if n.value < 1 {
			faults = append(faults, fmt.Errorf("%s: %d is less than 1", n.name, n.value))
		}
	}
	return errors.Join(faults...)
}
