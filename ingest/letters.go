package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
)

// Headers that a dead letter has in its topic besides those of its producer.
const (
	HeaderFaults    = "schoolbell_faults" // a list of pointer and reason, as JSON
	HeaderTopic     = "schoolbell_topic"  // where the record was refused
	HeaderPartition = "schoolbell_partition"
	HeaderOffset    = "schoolbell_offset"
)

// pruneEvery is how often letters are removed whose time is over.
const pruneEvery = time.Hour

// Letters stores what inboxes refuse: in a topic, for whoever produced it, and in PostgreSQL, where
// operators and schools see it.
type Letters struct {
	Topic   eventlog.Appender // nil stores them in PostgreSQL only
	Pool    *pgxpool.Pool
	Writer  Writer
	Sources []Source
	Metrics *Metrics
	Counts  *deadletter.Metrics
}

// Write stores letters. When it fails they may be in the topic already, and are there once more
// after it is repeated.
func (l *Letters) Write(ctx context.Context, letters []deadletter.Letter) error {
	if len(letters) == 0 {
		return nil
	}
	var stored []bool
	err := pgx.BeginFunc(ctx, l.Pool, func(tx pgx.Tx) (err error) {
		stored, err = deadletter.WriteAll(ctx, tx, letters)
		return err
	})
	if err != nil {
		return err
	}
	bySchool := map[string][]eventlog.Record{}
	for i := range letters {
		letter := &letters[i]
		l.Counts.Count(letter.Kind, stored[i])
		if l.Topic == nil || !stored[i] {
			continue
		}
		rec, err := published(letter)
		if err != nil {
			return err
		}
		key := string(rec.Key)
		bySchool[key] = append(bySchool[key], rec)
	}
	for key, records := range bySchool {
		for chunk := range slices.Chunk(records, 100) {
			if err := l.publish(ctx, key, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Letters) publish(ctx context.Context, key string, records []eventlog.Record) error {
	_, err := l.Topic.Append(ctx, key, records)
	switch {
	case errors.Is(err, eventlog.ErrTooLarge) && len(records) > 1:
		for i := range records {
			if err := l.publish(ctx, key, records[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case errors.Is(err, eventlog.ErrTooLarge): // its producer has it, and its faults are stored
		records[0].Value = nil
		_, err = l.Topic.Append(ctx, key, records)
	}
	if err != nil {
		return fmt.Errorf("publish dead letters: %w", err)
	}
	return nil
}

// published is a letter as a record: the original one, and what was wrong with it.
func published(letter *deadletter.Letter) (eventlog.Record, error) {
	faults, err := json.Marshal(letter.Faults)
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("encode faults: %w", err)
	}
	rec := eventlog.Record{}
	if letter.Record != nil {
		rec = letter.Record.AsLogged(letter.Position)
		rec.Headers = slices.Clone(rec.Headers)
	}
	for _, h := range [...]struct{ name, value string }{
		{HeaderFaults, string(faults)},
		{HeaderTopic, letter.Topic},
		{HeaderPartition, strconv.Itoa(int(letter.Position.Partition))},
		{HeaderOffset, strconv.FormatInt(letter.Position.Offset, 10)},
	} {
		rec.Headers = append(rec.Headers, eventlog.Header{Key: h.name, Value: []byte(h.value)})
	}
	return rec, nil
}

// Retry checks the record of a letter again, as its inbox is declared now, and appends it when it
// may enter the log. The letter is then gone; else the error is a *[domain.InvalidError] and the
// letter has the new faults.
func (l *Letters) Retry(ctx context.Context, letter *deadletter.Letter) error {
	if letter.Record == nil {
		return &domain.InvalidError{Faults: []domain.Fault{{
			Reason: "the record itself was not stored: correct it at its producer, and send it again",
		}}}
	}
	i := slices.IndexFunc(l.Sources, func(s Source) bool { return s.Topic == letter.Topic })
	if i < 0 {
		return &domain.InvalidError{Faults: []domain.Fault{{
			Reason: "the topic " + letter.Topic + " is no longer an inbox of this process",
		}}}
	}
	rec := letter.Record.AsLogged(letter.Position)
	event, err := l.Sources[i].Check(&rec)
	if err != nil {
		letter.Faults = deadletter.FaultsOf(err)
		if err := l.Write(ctx, []deadletter.Letter{*letter}); err != nil {
			return err
		}
		return &domain.InvalidError{Faults: letter.Faults}
	}
	if err := l.Writer.Append(ctx, event.School, []*domain.Envelope{event}); err != nil {
		return err
	}
	return deadletter.Remove(ctx, l.Pool, letter)
}

// Run removes letters whose time is over, until ctx ends. One that fails is tried again an hour
// later.
func (l *Letters) Run(ctx context.Context) error {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		_ = deadletter.Prune(ctx, l.Pool, time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
