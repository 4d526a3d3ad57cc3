package config

import (
	"errors"
	"fmt"

	"github.com/schoolbell/schoolbell/ingest"
)

// Inboxes are the topics that other systems write events to.
type Inboxes struct {
	Inbox       []string `name:"inbox" env:"INBOX" sep:";" default:"schoolbell.inbox" placeholder:"TOPIC[=SCHOOL,…][:CONTEXT,…]" help:"Topic that other systems write events to, for all schools or these, and with facts of all contexts but guardian, membership and staff, or of these. Repeat it for more; in the variable, separate them with semicolons. Empty is none."`
	DeadLetters string   `name:"deadletters" env:"DEADLETTERS" default:"schoolbell.deadletters" placeholder:"TOPIC" help:"Topic of the records that inboxes refuse. It is created with the first one."`
}

// Sources returns the inboxes.
func (i Inboxes) Sources() ([]ingest.Source, error) {
	var all []ingest.Source
	var faults []error
	for _, s := range i.Inbox {
		if s == "" {
			continue
		}
		source, err := ingest.ParseSource(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("kafka-inbox: %w", err))
			continue
		}
		for _, other := range all {
			if other.Topic == source.Topic {
				faults = append(faults, fmt.Errorf(
					"kafka-inbox: %s is given twice: declare it once, with all that may come from it",
					source.Topic))
			}
		}
		all = append(all, source)
	}
	return all, errors.Join(faults...)
}

func (c *Config) validateInboxes() error {
	sources, err := c.Inboxes.Sources()
	for _, s := range sources {
		if s.Topic == c.Kafka.Topic || s.Topic == c.Inboxes.DeadLetters {
			err = errors.Join(err, fmt.Errorf("kafka-inbox: %s is Schoolbell's own topic: other "+
				"systems need another one", s.Topic))
		}
	}
	if len(sources) > 0 && (c.Inboxes.DeadLetters == "" || c.Inboxes.DeadLetters == c.Kafka.Topic) {
		err = errors.Join(err, errors.New("kafka-deadletters: inboxes need a topic of its own"))
	}
	return err
}
