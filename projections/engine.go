package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Log is the part of the log that the engine uses.
type Log = eventlog.Source

// Config configures an engine. A zero value means the default in parentheses.
type Config struct {
	Name      string // of the set: the store holds positions under it; required
	GroupID   string // by which processes share partitions (the name)
	Set       *Set   // required
	Log       Log    // required
	Group     eventlog.Group
	Store     Store
	Decode    Decode
	Notifiers []Notifier // may be empty

	// Reader of Log, which this process shares (one of the engine's own, with Decode and Window).
	Reader *eventlog.Reader
	// Window is within how many records a repeated event is a duplicate (eventlog.DefaultWindow).
	Window       int
	MaxBatch     int // events in one commit (8,000)
	MaxReadAhead int // bytes of the log held in memory for each partition, about (32 MiB)
	MaxRows      int // rows held in memory for each partition, about (100,000)
	// MaxParked is how many subjects of one school may be parked; beyond it all later events of the
	// school are (1,000). Tables that are to be compared need the same.
	MaxParked int
	// ParkedRetry is the pause before the first retry of a parked subject (1 min). It doubles with
	// each attempt up to ParkedRetryMax (1 h).
	ParkedRetry, ParkedRetryMax time.Duration
	CommitTimeout               time.Duration // after which a commit is given up (30 s)
	School                      string        // fold the events of this school only (all)
	// Build names this build of the program: another one retries what is parked.
	Build string

	Logger  *slog.Logger          // (none)
	Metrics prometheus.Registerer // (none)
	Tracer  trace.Tracer          // a span for each commit, linked to its events' traces (none)

	// The skips are read by whoever sets the limits of what is folded.
	catchup bool
	quiet   bool // does not report records that take no effect, as others have
}

// DefaultMaxParked is how many subjects of a school may be parked before the school is.
const DefaultMaxParked = 1000

// Validate reports all faults at once.
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
		{c.MaxParked, "limit of parked subjects"},
		{int(c.ParkedRetry), "pause before a retry"},
		{int(c.ParkedRetryMax), "longest pause before a retry"},
		{int(c.CommitTimeout), "commit timeout"},
	} {
		if f.value < 0 {
			faults = append(faults,
				fmt.Errorf("projection engine: %s must not be negative", f.what))
		}
	}
	return errors.Join(faults...)
}

func (c *Config) setDefaults() {
	c.GroupID = cmp.Or(c.GroupID, c.Name)
	c.MaxBatch = cmp.Or(c.MaxBatch, 8000)
	c.MaxReadAhead = cmp.Or(c.MaxReadAhead, 32<<20)
	c.MaxRows = cmp.Or(c.MaxRows, 100_000)
	c.MaxParked = cmp.Or(c.MaxParked, DefaultMaxParked)
	c.ParkedRetry = cmp.Or(c.ParkedRetry, time.Minute)
	c.ParkedRetryMax = cmp.Or(c.ParkedRetryMax, time.Hour)
	c.CommitTimeout = cmp.Or(c.CommitTimeout, 30*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Reader == nil {
		c.Reader = eventlog.NewReader(eventlog.ReaderConfig{
			Source: c.Log, Decode: c.Decode, Window: c.Window, Logger: c.Logger,
		})
	}
	c.Metrics = cmp.Or[prometheus.Registerer](c.Metrics, prometheus.NewRegistry())
}

// Engine folds the log into the tables of one set. See the package's documentation.
type Engine struct {
	cfg         Config
	foldVersion string
	metrics     *metrics

	mu      sync.Mutex
	workers map[int32]*worker // of the partitions that this process works on
	skips   map[int32]*skips
}

// NewEngine returns an engine that is ready to run.
func NewEngine(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	e := &Engine{
		cfg: cfg, foldVersion: sanitize(cfg.Set.Version()+" "+cfg.Build, 1000),
		workers: map[int32]*worker{}, skips: map[int32]*skips{},
	}
	m, err := newMetrics(cfg.Metrics, e)
	if err != nil {
		return nil, fmt.Errorf("register metrics of projection engine: %w", err)
	}
	e.metrics = m
	return e, nil
}

// Run works on the partitions that the group assigns to this process until ctx ends. Partitions do
// not disturb each other: one that cannot continue says so in [Engine.Status] and is retried later.
// Run ends with a [*VersionError] when other folds have made the tables, and leaves the partitions
// to programs that have those. It may be called again.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.cfg.Group.Consume(ctx, e.cfg.GroupID, e.work); err != nil {
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
	Failing  State = "failing" // a dependency does not work; retried
	Refused  State = "refused" // the log does not fit the tables; an operator must act
)

// Status is the state of one partition.
type Status struct {
	Partition int32           `json:"partition"`
	State     State           `json:"state"`
	Reason    string          `json:"reason,omitzero"` // of Failing and Refused
	Position  domain.Position `json:"position"`        // of the last event in the tables
	Lag       int64           `json:"lag"`             // records after it
	// since the oldest of them was appended, if it has been read
	LagTime time.Duration `json:"-"`
	Parked  int           `json:"parked"` // subjects
	// Schools that are parked whole, as too many of their subjects are.
	ParkedSchools int `json:"parked_schools,omitzero"`

	cause error // of Refused
}

// Status returns the state of each partition of this process, in order.
func (e *Engine) Status() []Status {
	e.mu.Lock()
	workers := slices.Collect(maps.Values(e.workers))
	e.mu.Unlock()
	all := make([]Status, len(workers))
	for i, w := range workers {
		all[i] = w.currentStatus()
	}
	slices.SortFunc(all, func(a, b Status) int { return int(a.Partition - b.Partition) })
	return all
}

func (e *Engine) newReadAhead(partition int32) *readAhead {
	return &readAhead{
		reader: e.cfg.Reader, partition: partition, school: e.cfg.School,
		maxEvents: 3 * e.cfg.MaxBatch, maxBytes: e.cfg.MaxReadAhead,
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}
