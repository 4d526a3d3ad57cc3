package router

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/schoolbell/schoolbell/eventlog"
)

// The headers that make up a message.
const (
	headerID     = eventlog.HeaderID
	headerSchool = eventlog.HeaderSchool
)

// toRecord makes a record of a message.
func toRecord(m *message.Message) (school string, rec eventlog.Record) {
	school = m.Metadata.Get(headerSchool)
	rec = eventlog.Record{Time: time.Now(), Key: []byte(school), Value: m.Payload}
	rec.Headers = append(rec.Headers, eventlog.Header{Key: headerID, Value: []byte(m.UUID)})
	for key, value := range m.Metadata {
		if key != headerID {
			rec.Headers = append(rec.Headers, eventlog.Header{Key: key, Value: []byte(value)})
		}
	}
	return school, rec
}

// toMessage makes a message of an entry of the log. Its context carries the entry itself, and how
// many records before it are not handed out.
func toMessage(ctx context.Context, e *eventlog.Entry, gap int64) *message.Message {
	rec := &e.Record
	id := rec.Header(headerID)
	if id == "" {
		id = rec.Position.String()
	}
	m := message.NewMessage(id, rec.Value)
	for _, h := range rec.Headers {
		m.Metadata.Set(h.Key, string(h.Value))
	}
	ctx = context.WithValue(ctx, gapKey{}, gap)
	m.SetContext(context.WithValue(ctx, entryKey{}, e))
	return m
}

type gapKey struct{}

// gapOf returns how many records right before that of a message are not handed out.
func gapOf(m *message.Message) int64 {
	gap, _ := m.Context().Value(gapKey{}).(int64)
	return gap
}

type entryKey struct{}

// entryOf returns the entry that a message was made of.
func entryOf(m *message.Message) *eventlog.Entry {
	e, _ := m.Context().Value(entryKey{}).(*eventlog.Entry)
	return e
}
