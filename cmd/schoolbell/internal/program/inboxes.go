package program

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/ingest/authors"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// maxDeadLetter is the largest record that is copied to the topic of dead letters: as large as
// brokers accept from others by default, and what we add to it.
const maxDeadLetter = 2 << 20

// wireIngest takes events over HTTP and from inboxes, both at the pace of those who read the log.
func (p *program) wireIngest(ctx context.Context, deps *httpapi.Deps) error {
	deps.Log = p.events
	if p.cfg.Ingest.MaxLag > 0 {
		pool, err := p.ingestPool(ctx)
		if err != nil {
			return err
		}
		p.pacer = ingest.NewPacer(ingest.PacerConfig{
			MaxLag: p.cfg.Ingest.MaxLag, Partitions: p.topic.Partitions, Metrics: p.registry,
			Readers: 2, Positions: func(ctx context.Context) ([]map[int32]int64, error) {
				tables, err := checkpoint.Next(ctx, pool, SetName)
				if err != nil {
					return nil, err
				}
				// Not where planning is, but the furthest it has been: when it goes back, new events
				// wait for the operator who sent it back, and not for one another.
				planned, err := checkpoint.Furthest(ctx, pool, ConsumersGroup)
				return []map[int32]int64{tables, planned}, err
			},
		})
		p.task(p.pacer.Run)
		deps.Pacer = p.pacer
	}
	return p.wireInboxes(ctx)
}

// wireAuthors marks events with who wrote them: producers, and operators, who skip parked events in
// processes that take none.
func (p *program) wireAuthors(ctx context.Context, deps *httpapi.Deps) error {
	pool, err := p.ingestPool(ctx)
	if err != nil {
		return err
	}
	of, err := authors.Open(ctx, pool, p.log)
	if err != nil {
		return err
	}
	p.task(of.Run)
	deps.Author = func(ctx context.Context, school string, b auth.Principal) domain.Author {
		return of.Of(ctx, school,
			authors.Token{Subject: b.Subject, ID: b.TokenID, Operator: b.Operator()})
	}
	return nil
}

// ingestPool returns the connections of ingest to PostgreSQL. Events over HTTP do without them.
func (p *program) ingestPool(ctx context.Context) (*pgxpool.Pool, error) {
	if p.intake != nil {
		return p.intake, nil
	}
	pool, err := postgres.NewPool(ctx, p.cfg.Database.Ingest(p.servers.DatabaseURL))
	if err != nil {
		return nil, err
	}
	p.onClose(func() error { pool.Close(); return nil })
	p.intake = pool.Conns()
	return p.intake, nil
}

// inboxLetters returns what stores and retries dead letters, which the roles ingest and api need.
func (p *program) inboxLetters(ctx context.Context) (*ingest.Letters, error) {
	if p.letters != nil {
		return p.letters, nil
	}
	sources, err := p.cfg.Inboxes.Sources()
	if err != nil {
		return nil, ConfigError{err}
	}
	pool, err := p.ingestPool(ctx)
	if err != nil {
		return nil, err
	}
	topic := &lazyTopic{open: p.openDeadLetters}
	p.onClose(topic.close)
	p.letters = &ingest.Letters{
		Topic: topic, Pool: pool, Sources: sources,
		Writer: ingest.Writer{
			Log: p.appender, Limit: p.cfg.API.AppendLimit, Pacer: p.pacer, Hold: httpapi.IngestHold,
		},
		Metrics: ingest.NewMetrics(p.registry), Counts: p.deadLetters,
	}
	return p.letters, nil
}

// wireInboxes reads the topics that other systems write to. Their state is reported, but it takes no
// process out of service: events over HTTP need neither inboxes nor PostgreSQL.
func (p *program) wireInboxes(ctx context.Context) error {
	letters, err := p.inboxLetters(ctx)
	if err != nil {
		return err
	}
	p.task(letters.Run)
	for _, source := range letters.Sources {
		reader := ingest.NewReader(ingest.Config{
			Source: source, Log: p.cfg.Kafka.Topic, Partitions: p.topic.Partitions, Letters: letters, Logger: p.log,
			Open: func(ctx context.Context) (ingest.Topic, error) {
				c, err := p.servers.Kafka.Config()
				if err != nil {
					return nil, err
				}
				c.Topic, c.Partitions = source.Topic, 0
				return kafka.OpenInbox(ctx, c, p.log)
			},
		})
		p.task(reader.Run)
		p.health.Add(telemetry.Check{Name: reader.Name(), Optional: true, Probe: reader.Probe})
	}
	return nil
}

func (p *program) openDeadLetters(ctx context.Context) (*kafka.Log, error) {
	c, err := p.servers.Kafka.Config()
	if err != nil {
		return nil, err
	}
	c.Topic, c.Partitions, c.Retention = p.cfg.Inboxes.DeadLetters, 0, deadletter.Lifetime
	c.MaxRecordBytes = maxDeadLetter
	return kafka.OpenAny(ctx, c, p.log)
}

// lazyTopic is a topic that is opened, and so created, with the first record for it.
type lazyTopic struct {
	open func(context.Context) (*kafka.Log, error)

	mu  sync.Mutex
	log *kafka.Log // nil until it is open
}

// Append implements [eventlog.Appender].
func (t *lazyTopic) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	log, err := t.opened(ctx)
	if err != nil {
		return domain.Position{}, err
	}
	return log.Append(ctx, school, records)
}

func (t *lazyTopic) opened(ctx context.Context) (log *kafka.Log, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log == nil {
		if log, err = t.open(ctx); err != nil {
			return nil, err
		}
		t.log = log
	}
	return t.log, nil
}

func (t *lazyTopic) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log == nil {
		return nil
	}
	return t.log.Close()
}
