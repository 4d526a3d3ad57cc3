package config

import (
	"errors"
	"fmt"
	"time"
)

// Jobs says how deliveries are done.
type Jobs struct {
	SMS          int           `name:"sms" env:"SMS" default:"100" placeholder:"N" help:"Text messages at the same time."`
	PDF          int           `name:"pdf" env:"PDF" default:"2" placeholder:"N" help:"Documents at the same time."`
	Notification int           `env:"NOTIFICATION" default:"200" placeholder:"N" help:"Notifications at the same time."`
	Attempts     int           `env:"ATTEMPTS" default:"10" placeholder:"N" help:"Attempts until a delivery waits for an operator."`
	Timeout      time.Duration `env:"TIMEOUT" default:"10s" placeholder:"TIME" help:"How long a provider may take to answer, 15s at most."`
}

func (j Jobs) validate() error {
	var faults []error
	for _, n := range []struct {
		name  string
		value int
	}{{"jobs-sms", j.SMS}, {"jobs-pdf", j.PDF}, {"jobs-notification", j.Notification}, {"jobs-attempts", j.Attempts}} {
		if n.value < 1 {
			faults = append(faults, fmt.Errorf("%s: %d is less than 1", n.name, n.value))
		}
	}
	if j.Timeout <= 0 || j.Timeout > 15*time.Second {
		faults = append(faults, fmt.Errorf("jobs-timeout: %s is not between 0 and 15s", j.Timeout))
	}
	return errors.Join(faults...)
}
