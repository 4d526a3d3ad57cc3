package ingest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
)

// directory are the contexts whose facts say who may see a school's data. An inbox may write them
// only when it is declared with them: whoever can produce to it could otherwise make themselves a
// guardian of any student.
var directory = []string{"guardian", "membership", "staff"}

// Source is an inbox as it is declared: a topic, and what may come from it. It is the identity of
// all who can write to the topic, which Kafka's ACLs decide.
type Source struct {
	Topic    string
	Schools  []string // whose events may come; empty is all
	Contexts []string // of which facts; empty is all but those of the directory
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// ParseSource reads TOPIC[=SCHOOL,…][:CONTEXT,…].
func ParseSource(s string) (Source, error) {
	var in Source
	rest := s
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		in.Contexts, rest = strings.Split(rest[i+1:], ","), rest[:i]
	}
	topic, schools, restricted := strings.Cut(rest, "=")
	in.Topic = topic
	if restricted {
		in.Schools = strings.Split(schools, ",")
	}
	if !topicName.MatchString(in.Topic) {
		return in, fmt.Errorf("%q is not TOPIC[=SCHOOL,…][:CONTEXT,…]: %q is not a topic's name",
			s, in.Topic)
	}
	if slices.Contains(in.Schools, "") {
		return in, fmt.Errorf("%q names an empty school: leave out the = to take all schools", s)
	}
	if slices.Contains(in.Schools, domain.Platform) {
		return in, fmt.Errorf("%q names the school %s: decisions about the platform are written by "+
			"Schoolbell only", s, domain.Platform)
	}
	known := contexts()
	for _, c := range in.Contexts {
		if !slices.Contains(known, c) {
			return in, fmt.Errorf("%q: %q is not one of the contexts %s", s, c,
				strings.Join(known, ", "))
		}
	}
	return in, nil
}

// contexts are those that producers may write at all.
func contexts() (names []string) {
	for _, f := range catalog.Facts() {
		if c, _, _ := f.Name(); !f.Reserved && !slices.Contains(names, c) {
			names = append(names, c)
		}
	}
	slices.Sort(names)
	return names
}

// authSub is how the inbox's events are marked.
func (s *Source) authSub() string { return "kafka:" + s.Topic }

func (s *Source) isFor(school string) bool {
	return len(s.Schools) == 0 || slices.Contains(s.Schools, school)
}

// allows checks that an event may come from this inbox.
func (s *Source) allows(e *domain.Envelope) error {
	var f domain.Faults
	if !s.isFor(e.School) {
		f.Add("/school", "is not one that the inbox %s is for", s.Topic)
	}
	context, _, _, err := domain.SplitType(e.Type)
	if err != nil {
		return err
	}
	allowed := slices.Contains(s.Contexts, context)
	if len(s.Contexts) == 0 {
		allowed = !slices.Contains(directory, context)
	}
	if !allowed {
		f.Add("/type", "is not one that the inbox %s is for: an operator can declare it with the "+
			"context %s", s.Topic, context)
	}
	return f.Err()
}

// Check reads one record as an event that may come from this inbox. The envelope is never nil; the
// error says all that is wrong.
func (s *Source) Check(rec *eventlog.Record) (*domain.Envelope, error) {
	event, err := cloudevents.Intake{}.ParseRecord(rec)
	if _, _, _, unknown := domain.SplitType(event.Type); unknown == nil {
		err = join(err, s.allows(event))
	}
	if err != nil && !s.isFor(event.School) {
		event.School = "" // it is no business of a school that the inbox is not for
	}
	event.Author = domain.Author{Subject: s.authSub()}
	return event, err
}

// join adds the faults of two errors, either of which may be nil.
func join(a, b error) error {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return &domain.InvalidError{Faults: append(deadletter.FaultsOf(a), deadletter.FaultsOf(b)...)}
}
