package router

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/schoolbell/schoolbell/eventlog"
)

// The headers that make up a message.
const (
	headerID     = "ce_id"
	headerSchool = "ce_school"
	headerType   = "ce_type"
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

// toMessage makes a message of a record. Its context carries the record itself.
func toMessage(ctx context.Context, rec *eventlog.Record) *message.Message {
	id := header(rec, headerID)
	if id == "" {
		id = rec.Position.String()
	}
	m := message.NewMessage(id, rec.Value)
	for _, h := range rec.Headers {
		m.Metadata.Set(h.Key, string(h.Value))
	}
	m.SetContext(context.WithValue(ctx, recordKey{}, rec))
	return m
}

type recordKey struct{}

// recordOf returns the record that a message was made of.
func recordOf(m *message.Message) *eventlog.Record {
	rec, _ := m.Context().Value(recordKey{}).(*eventlog.Record)
	return rec
}

func header(rec *eventlog.Record, key string) string {
	for i := range rec.Headers {
		if rec.Headers[i].Key == key {
			return string(rec.Headers[i].Value)
		}
	}
	return ""
}
