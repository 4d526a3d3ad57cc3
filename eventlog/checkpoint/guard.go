package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

const (
	// guardInterval is how often the refusals are read: within this time all processes know what
	// one of them has found, or an operator decided.
	guardInterval = 2 * time.Second
	// compareEvery is how often the log is compared, in intervals. A comparison fetches one batch of
	// each partition.
	compareEvery = 10
)

// GuardConfig is what a guard is made of.
type GuardConfig struct {
	Querier   Querier
	Log       eventlog.Source
	Topic     eventlog.Topic // of Log, as it was at the start
	Consumers []string       // whose positions the log is compared with
	Logger    *slog.Logger
	Metrics   prometheus.Registerer
}

// Guard knows which partitions of the log are refused, and what the log is called. One process has
// one; with it ingest and live connections do as the tables and planning do, which find refusals
// where they store their positions.
type Guard struct {
	cfg   GuardConfig
	gauge *prometheus.GaugeVec
	id    domain.LogID

	mu      sync.Mutex
	refused map[int32]*eventlog.Refusal
	fault   error // why the log could not be compared last
	unknown error // why it was never compared yet
}

// ErrAccepted says that an operator has accepted the log as it is. What a process has read of it before may
// be of the log as it was.
var ErrAccepted = errors.New("an operator has accepted the log as it is now")

// NewGuard compares the log for the first time and returns a guard, which is up to date while it
// runs. The log is one that [CheckLog] has accepted. A process that serves dashboards starts without
// the log: all partitions count as refused, then, until it can be compared.
func NewGuard(ctx context.Context, cfg GuardConfig) (*Guard, error) {
	g := &Guard{
		cfg: cfg, refused: map[int32]*eventlog.Refusal{},
		gauge: promauto.With(cfg.Metrics).NewGaugeVec(prometheus.GaugeOpts{
			Name: "schoolbell_log_refused",
			Help: "1 for each partition that is refused until an operator decides.",
		}, []string{"partition"}),
	}
	err := g.compare(ctx)
	if errors.Is(err, eventlog.ErrUnavailable) {
		g.unknown, err = err, nil
	}
	if err == nil {
		g.id, err = g.readID(ctx)
	}
	if err == nil {
		err = g.readRefusals(ctx)
	}
	return g, err
}

// Run compares the log and reads refusals until ctx ends. While the log or the database cannot be
// reached, what was known last holds. It ends with [ErrAccepted] when an operator has accepted the
// log, as everything that this process remembers of it is then in doubt.
func (g *Guard) Run(ctx context.Context) error {
	tick := time.NewTicker(guardInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if id, err := g.look(ctx, n%compareEvery == 0 || g.unknown != nil); err == nil && id != g.id {
			return ErrAccepted
		}
	}
}

// look returns what the log is called now.
func (g *Guard) look(ctx context.Context, compare bool) (id domain.LogID, err error) {
	ctx, cancel := context.WithTimeout(ctx, compareEvery*guardInterval)
	defer cancel()
	if compare {
		err = g.compare(ctx)
	}
	compared := compare && err == nil
	id, idErr := g.readID(ctx)
	err = errors.Join(err, g.readRefusals(ctx), idErr)
	g.mu.Lock()
	g.fault = err
	if compared {
		g.unknown = nil
	}
	g.mu.Unlock()
	return id, err
}

// compare finds what is to be refused. That something is, is no error of it.
func (g *Guard) compare(ctx context.Context) error {
	err := Examine(ctx, g.cfg.Querier, g.cfg.Log, g.cfg.Topic, g.cfg.Consumers...)
	if errors.Is(err, eventlog.ErrRefused) {
		return nil
	}
	return err
}

func (g *Guard) readID(ctx context.Context) (domain.LogID, error) {
	var generation int32
	if err := g.cfg.Querier.QueryRow(ctx, `SELECT generation FROM schoolbell.logs
		WHERE topic_id = $1`, g.cfg.Topic.ID).Scan(&generation); err != nil {
		return "", fmt.Errorf("read the log's generation: %w", err)
	}
	return domain.LogIDOf(g.cfg.Topic.ID, generation), nil
}

func (g *Guard) readRefusals(ctx context.Context) error {
	all, err := Refusals(ctx, g.cfg.Querier, g.cfg.Topic.ID)
	if err != nil {
		return err
	}
	refused := make(map[int32]*eventlog.Refusal, len(all))
	for _, r := range all {
		refused[r.Partition] = r
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for n, r := range refused {
		if g.refused[n] == nil {
			g.cfg.Logger.ErrorContext(ctx, "the log is not the one that was read",
				"partition", n, "error", r)
		}
	}
	g.refused = refused
	for n := range g.cfg.Topic.Partitions {
		value := 0.0
		if refused[n] != nil {
			value = 1
		}
		g.gauge.WithLabelValues(strconv.Itoa(int(n))).Set(value)
	}
	return nil
}

// ID is what the log is called in the positions that clients see.
func (g *Guard) ID() domain.LogID { return g.id }

// Refused returns why a partition is refused, nil when it is not.
func (g *Guard) Refused(partition int32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unknown != nil {
		return g.unknown
	}
	if r := g.refused[partition]; r != nil {
		return r
	}
	return nil
}

// Report returns which partitions are refused, and whether that can be found out.
func (g *Guard) Report() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	faults := []error{cmp.Or(g.fault, g.unknown)}
	for n := range g.cfg.Topic.Partitions {
		if r := g.refused[n]; r != nil {
			faults = append(faults, r)
		}
	}
	return errors.Join(faults...)
}

// Appender returns an appender that writes to partitions that are not refused.
func (g *Guard) Appender(to eventlog.Appender) eventlog.Appender { return guarded{to, g} }

type guarded struct {
	to    eventlog.Appender
	guard *Guard
}

// Append implements [eventlog.Appender].
func (a guarded) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	n := eventlog.PartitionFor(school, a.guard.cfg.Topic.Partitions)
	if err := a.guard.Refused(n); err != nil {
		return domain.Position{}, err
	}
	return a.to.Append(ctx, school, records)
}
