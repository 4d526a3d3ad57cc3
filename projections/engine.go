package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Log is what the engine needs of the log.
type Log interface {
	eventlog.Fetcher
	eventlog.Inspector
}

// Config is what an engine is made of. A zero value means the default in parentheses.
type Config struct {
	Name      string // of the set: under it the store keeps positions, and processes share out partitions; required
	Set       *Set   // required
	Log       Log    // required
	Group     eventlog.Group
	Store     Store
	Decode    Decode
	Notifiers []Notifier // may be empty

	Window            int           // within how many records a repeated event is a duplicate (eventlog.DefaultWindow)
	MaxBatch          int           // events in one commit at most (8,000)
	MaxReadAhead      int           // bytes of the log held in memory for each partition, about (32 MiB)
	MaxRows           int           // rows held in memory for each partition, about (100,000)
	MaxParkedSubjects int           // for each partition; with more it pauses (1,000)
	ParkedRetry       time.Duration // until a parked subject is tried again for the first time; then twice as long, and so on (1 min)
	ParkedRetryMax    time.Duration // at most (1 h)
	CommitTimeout     time.Duration // until a commit that does not answer is given up (30 s)
	School            string        // folds the events of one school only (all)
	Build             string        // names this build of the program: another one tries again what is parked

	Logger  *slog.Logger          // (none)
	Metrics prometheus.Registerer // (none)
	Tracer  trace.Tracer          // a span for each commit, linked to the traces of its events (none)
}

// Validate reports all that is wrong.
func (c *Config) Validate() error {
	var faults []error
	for _, f := range []struct {
		missing bool
		what    string
	}{
		{c.Name == "", "name"},
		{c.Set == nil, "set"},
		{c.Log == nil, "log"},
		{c.Group == nil, "group"},
		{c.Store == nil, "store"},
		{c.Decode == nil, "decoder"},
	} {
		if f.missing {
			faults = append(faults, fmt.Errorf("projection engine: %s is required", f.what))
		}
	}
	for _, f := range []struct {
		value int
		what  string
	}{
		{c.Window, "duplicate window"},
		{c.MaxBatch, "batch limit"},
		{c.MaxReadAhead, "read-ahead"},
		{c.MaxRows, "row limit"},
		{c.MaxParkedSubjects, "limit of parked subjects"},
		{int(c.ParkedRetry), "time to the next try"},
		{int(c.ParkedRetryMax), "longest time to the next try"},
		{int(c.CommitTimeout), "commit timeout"},
	} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("projection engine: %s must not be negative", f.what))
		}
	}
	return errors.Join(faults...)
}

func (c *Config) setDefaults() {
	setDefault(&c.Window, eventlog.DefaultWindow)
	setDefault(&c.MaxBatch, 8000)
	setDefault(&c.MaxReadAhead, 32<<20)
	setDefault(&c.MaxRows, 100_000)
	setDefault(&c.MaxParkedSubjects, 1000)
	setDefault(&c.ParkedRetry, time.Minute)
	setDefault(&c.ParkedRetryMax, time.Hour)
	setDefault(&c.CommitTimeout, 30*time.Second)
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	setDefault[prometheus.Registerer](&c.Metrics, prometheus.NewRegistry())
}

func setDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Engine folds the log into the tables of one set. See the package's documentation.
type Engine struct {
	cfg         Config
	foldVersion string
	metrics     *metrics
	untold      burst // notices that failed
	unread      burst // fetches that failed
	restarted   burst // sessions that something outside has ended

	mu         sync.Mutex
	workers    map[int32]*worker    // of the partitions that this process works on
	readAheads map[int32]*readAhead // of partitions that it has worked on
}

// NewEngine returns an engine that is ready to run.
func NewEngine(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	e := &Engine{
		cfg: cfg, foldVersion: sanitize(cfg.Set.Version()+" "+cfg.Build, 1000),
		workers: map[int32]*worker{}, readAheads: map[int32]*readAhead{},
	}
	m, err := newMetrics(cfg.Metrics, e)
	if err != nil {
		return nil, fmt.Errorf("register metrics of projection engine: %w", err)
	}
	e.metrics = m
	return e, nil
}

// Run works on the partitions that the group assigns to this process until ctx ends. Partitions do not disturb each
// other: one that cannot go on says so in [Engine.Status] and is tried again later. Run ends with a [*VersionError] when
// other folds have made the tables, and leaves the partitions to programs that have those. It may be called again.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.cfg.Group.Consume(ctx, "schoolbell-"+e.cfg.Name, e.work); err != nil {
		return fmt.Errorf("share out partitions of %s: %w", e.cfg.Name, err)
	}
	return nil
}

// State is what a partition is doing.
type State string

// The states.
const (
	Starting State = "starting" // claiming, or reading back for duplicates
	Running  State = "running"
	Paused   State = "paused"  // too many subjects are parked
	Failing  State = "failing" // something outside does not work; tried again
	Refused  State = "refused" // the log does not fit the tables; somebody must act
)

// Status is how one partition is doing.
type Status struct {
	Partition int32           `json:"partition"`
	State     State           `json:"state"`
	Reason    string          `json:"reason,omitzero"` // of Paused, Failing and Refused
	Position  domain.Position `json:"position"`        // of the last event in the tables
	Lag       int64           `json:"lag"`             // records after it
	LagTime   time.Duration   `json:"-"`               // since the oldest of them was appended, if it has been read
	Parked    int             `json:"parked"`          // subjects
}

// Status tells how the partitions of this process are doing, in order.
func (e *Engine) Status() []Status {
	e.mu.Lock()
	owners := make([]*worker, 0, len(e.workers))
	for _, o := range e.workers {
		owners = append(owners, o)
	}
	e.mu.Unlock()
	all := make([]Status, len(owners))
	for i, o := range owners {
		all[i] = o.currentStatus()
	}
	slices.SortFunc(all, func(a, b Status) int { return int(a.Partition - b.Partition) })
	return all
}

// takeReadAhead takes the tape of an earlier ownership, or a new one.
func (e *Engine) takeReadAhead(partition int32) *readAhead {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.readAheads[partition]; t != nil {
		delete(e.readAheads, partition)
		return t
	}
	return &readAhead{
		partition: partition, log: e.cfg.Log, decode: e.cfg.Decode, windowSize: e.cfg.Window, school: e.cfg.School,
		maxEvents: 3 * e.cfg.MaxBatch, maxBytes: e.cfg.MaxReadAhead,
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

// returnReadAhead keeps a tape for the next ownership.
func (e *Engine) returnReadAhead(t *readAhead) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readAheads[t.partition] = t
}
