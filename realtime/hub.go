package realtime

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/eventlog"
)

// Log is what the hub needs of the log.
type Log interface {
	eventlog.Fetcher
	eventlog.Inspector
}

// Config is what a hub is made of. The zero value of a limit stands for its default.
type Config struct {
	Log    Log
	Rights Rights // nil: nobody is connected with anybody
	Bus    Bus    // nil: this is the only node
	// Revoked is asked, again and again, whether a token that was good is still; nil: all are.
	Revoked func(Identity) bool
	// Key signs resume tokens. All nodes have the same.
	Key []byte

	RingBytes   int // recent events on this node, with their frames; default 64 MiB
	Window      int // records in which a repeated event is a duplicate; default eventlog.DefaultWindow
	MaxLag      int // records of a partition that a cursor may be behind; default 200,000
	MaxMissed   int // events that one join hands over; default 1,000
	MaxSessions int // on this node; default 50,000
	MaxPerUser  int // on this node; default 20
	MaxRooms    int // of one session; default 100
	Readers     int // sessions that read the log at once; default 8

	// DashboardInterval is the shortest time between two notices to the dashboards of a school; default 200 ms.
	DashboardInterval time.Duration

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now
}

const defaultDashboardInterval = 200 * time.Millisecond

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.RingBytes, 64<<20)
	def(&c.Window, eventlog.DefaultWindow)
	def(&c.MaxLag, 200_000)
	def(&c.MaxMissed, 1000)
	def(&c.MaxSessions, 50_000)
	def(&c.MaxPerUser, 20)
	def(&c.MaxRooms, 100)
	def(&c.Readers, 8)
	if c.DashboardInterval == 0 {
		c.DashboardInterval = defaultDashboardInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("the log is missing"))
	}
	if len(c.Key) < 16 {
		errs = append(errs, errors.New("the key must have at least 16 bytes"))
	}
	for name, v := range map[string]int{
		"RingBytes": c.RingBytes, "Window": c.Window, "MaxLag": c.MaxLag, "MaxMissed": c.MaxMissed, "MaxSessions": c.MaxSessions,
		"MaxPerUser": c.MaxPerUser, "MaxRooms": c.MaxRooms, "Readers": c.Readers, "DashboardInterval": int(c.DashboardInterval),
	} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative", name))
		}
	}
	return errors.Join(errs...)
}

// Hub connects the sessions of one node with the log.
type Hub struct {
	cfg       Config
	metrics   *metrics
	grants    *grantsCache
	readers   chan struct{}
	ringBytes int64 // of one partition

	opened     chan struct{} // closed when the partitions are known
	topic      eventlog.Topic
	partitions []*partition

	node       string // names this hub among all nodes
	lastID     atomic.Uint64
	sessions   atomic.Int64
	draining   atomic.Bool
	turns      *turns
	rechecks   chan *Session
	recheckAll atomic.Bool
	notices    noticeBoard
	questions  questions
	peers      peers
}

// New returns a hub that [Hub.Run] brings to life.
func New(cfg Config) (*Hub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure realtime: %w", err)
	}
	cfg = cfg.withDefaults()
	return &Hub{
		cfg:      cfg,
		node:     rand.Text()[:10],
		peers:    peers{now: cfg.Now},
		metrics:  newMetrics(cfg.Registerer),
		grants:   &grantsCache{rights: cfg.Rights, keep: time.Minute, most: 100_000, now: cfg.Now, entries: map[grantsKey]grantsEntry{}},
		readers:  make(chan struct{}, cfg.Readers),
		opened:   make(chan struct{}),
		turns:    newTurns(),
		rechecks: make(chan *Session, 4096),
	}, nil
}

// Run tails the log until ctx ends. It fails when the log is no longer the one it was.
func (h *Hub) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	topic, err := h.findTopic(ctx)
	if err != nil {
		return h.end(err)
	}
	h.topic = topic
	h.ringBytes = int64(h.cfg.RingBytes) / int64(topic.Partitions)
	for n := range topic.Partitions {
		h.partitions = append(h.partitions, newPartition(h, n))
	}
	close(h.opened)
	for _, p := range h.partitions {
		g.Go(func() error { return p.run(ctx) })
	}
	for range recheckers {
		g.Go(func() error { return h.runRechecks(ctx) })
	}
	g.Go(func() error { return h.sweep(ctx) })
	g.Go(func() error { return h.runNotices(ctx) })
	g.Go(func() error { return h.runBus(ctx) })
	return h.end(g.Wait())
}

// end closes what is still open when the hub stops.
func (h *Hub) end(err error) error {
	h.draining.Store(true)
	for _, s := range h.everySession() {
		s.Close(CloseShutdown)
	}
	h.turns.wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (h *Hub) findTopic(ctx context.Context) (eventlog.Topic, error) {
	for {
		topic, err := h.cfg.Log.Topic(ctx)
		if err == nil {
			return topic, nil
		}
		h.cfg.Logger.WarnContext(ctx, "the log cannot be described", "error", err)
		select {
		case <-ctx.Done():
			return topic, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Ready waits until the hub follows the end of the log in all partitions.
func (h *Hub) Ready(ctx context.Context) error {
	if err := h.wait(ctx, h.opened); err != nil {
		return err
	}
	for _, p := range h.partitions {
		if err := h.wait(ctx, p.ready); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hub) wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the log: %w", ctx.Err())
	}
}

// Epoch names the log that positions belong to: another one has another epoch.
func (h *Hub) Epoch() string {
	sum := sha256.Sum256([]byte(h.topic.ID))
	return hex.EncodeToString(sum[:6])
}

func (h *Hub) partitionOf(school string) int32 {
	return eventlog.PartitionFor(school, int32(len(h.partitions)))
}

// Open begins a session: it joins the rooms that are the bearer's own and those that the options name. The transport
// then calls Next until it returns nothing, and again whenever it is woken; when the connection is gone it calls End.
func (h *Hub) Open(ctx context.Context, who Identity, opts Options) (*Session, error) {
	if opts.School == "" {
		opts.School = who.School
	}
	switch {
	case who.Subject == "" || opts.School == "" || opts.School == everySchool,
		who.School != opts.School && who.School != everySchool:
		return nil, fmt.Errorf("school %q: %w", opts.School, ErrDenied)
	case h.draining.Load():
		return nil, ErrDraining
	case h.revoked(who):
		return nil, ErrInvalidToken
	}
	if err := h.wait(ctx, h.opened); err != nil {
		return nil, err
	}
	p := h.partitions[h.partitionOf(opts.School)]
	if err := h.wait(ctx, p.ready); err != nil {
		return nil, err
	}
	s := &Session{hub: h, opts: opts, who: who, id: h.lastID.Add(1), sent: h.metrics.of(opts.Protocol)}
	s.awake.Store(true)
	s.expires.Store(expiry(who))
	if s.expired(h.cfg.Now()) {
		return nil, ErrExpired
	}
	cursor := int64(-1)
	if opts.From != nil {
		var err error
		if cursor, err = p.recoverable(ctx, *opts.From); err != nil {
			h.metrics.resumed("refused", 0)
			return nil, err
		}
		h.metrics.resumed("resumed", 0)
	}
	if err := h.admitSession(p, s); err != nil {
		return nil, err
	}
	if err := s.enter(ctx, cursor); err != nil {
		s.End()
		return nil, err
	}
	return s, nil
}

// enter joins the session's first rooms and places its cursor.
func (s *Session) enter(ctx context.Context, cursor int64) error {
	rooms := []domain.Room{}
	if s.who.School != everySchool {
		rooms = append(rooms, domain.Room{Kind: domain.RoomUser, ID: s.who.Subject})
		for _, role := range s.who.Roles {
			rooms = append(rooms, domain.Room{Kind: domain.RoomRole, ID: role})
		}
	}
	for _, r := range s.opts.Rooms {
		if !slices.Contains(rooms, r) {
			rooms = append(rooms, r)
		}
	}
	as := make([]domain.Audiences, len(rooms))
	var left []Delivery
	for i, room := range rooms {
		var err error
		as[i], err = s.hub.audiences(ctx, s, room)
		if errors.Is(err, ErrDenied) && s.opts.Resuming {
			left = append(left, Delivery{Kind: KindLeft, Room: room})
		} else if err != nil {
			return err
		}
	}
	s.school.mu.Lock()
	defer s.school.mu.Unlock()
	s.notices = append(s.notices, left...)
	for i, room := range rooms {
		if as[i] == 0 {
			continue
		}
		m, err := s.join(room, as[i])
		if err != nil {
			return err
		}
		if s.opts.From != nil {
			m.after = cursor
		}
	}
	if s.opts.From == nil {
		cursor = s.school.head()
	}
	s.cursor.Store(cursor)
	s.updates = s.school.changes
	return nil
}

// admitSession counts a session in, within the limits.
func (h *Hub) admitSession(p *partition, s *Session) error {
	if h.sessions.Add(1) > int64(h.cfg.MaxSessions) {
		h.sessions.Add(-1)
		return ErrFull
	}
	sc := p.lockedSchool(s.opts.School)
	defer sc.mu.Unlock()
	if len(sc.sessions[s.who.Subject]) >= h.cfg.MaxPerUser {
		h.sessions.Add(-1)
		return ErrTooManySessions
	}
	s.school = sc
	sc.sessions[s.who.Subject] = append(sc.sessions[s.who.Subject], s)
	h.metrics.connections.WithLabelValues(s.opts.Protocol).Inc()
	return nil
}

// forget counts a session out. The school's lock is held.
func (h *Hub) forget(s *Session) {
	sc := s.school
	mine := slices.DeleteFunc(sc.sessions[s.who.Subject], func(x *Session) bool { return x == s })
	if len(mine) == 0 {
		delete(sc.sessions, s.who.Subject)
	} else {
		sc.sessions[s.who.Subject] = mine
	}
	h.sessions.Add(-1)
	h.metrics.connections.WithLabelValues(s.opts.Protocol).Dec()
	h.metrics.closed.WithLabelValues(s.closing.Load().Reason).Inc()
}

// everySession lists all that are open.
func (h *Hub) everySession() []*Session {
	var all []*Session
	h.eachSchool(func(sc *school) {
		for _, sessions := range sc.sessions {
			all = append(all, sessions...)
		}
	})
	return all
}

// eachSchool looks at all schools, with their lock held for reading.
func (h *Hub) eachSchool(look func(sc *school)) {
	select {
	case <-h.opened:
	default:
		return
	}
	for _, p := range h.partitions {
		p.mu.RLock()
		for _, sc := range p.schools {
			sc.mu.RLock()
			look(sc)
			sc.mu.RUnlock()
		}
		p.mu.RUnlock()
	}
}

// school finds one that there is something of on this node, else nil.
func (h *Hub) school(name string) *school {
	select {
	case <-h.opened:
	default:
		return nil
	}
	p := h.partitions[h.partitionOf(name)]
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.schools[name]
}

func (h *Hub) revoked(who Identity) bool { return h.cfg.Revoked != nil && h.cfg.Revoked(who) }

// sweep ends sessions whose token has expired or is revoked, also those that hear nothing.
func (h *Hub) sweep(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now := h.cfg.Now()
		for _, s := range h.everySession() {
			switch {
			case s.expired(now):
				s.Close(CloseExpired)
			case h.revoked(s.Identity()):
				s.Close(CloseRevoked)
			}
		}
	}
}

// Drain refuses new sessions and lets go of the open ones evenly over a time, each with a reason that tells the client
// to come back, so that other nodes do not get them all at once. It returns when all have gone, or ctx ends.
func (h *Hub) Drain(ctx context.Context, over time.Duration) {
	h.draining.Store(true)
	all := h.everySession()
	batches := min(20, len(all))
	tick := time.NewTicker(max(over/time.Duration(max(1, batches)), time.Millisecond))
	defer tick.Stop()
	for i := range batches {
		for _, s := range all[i*len(all)/batches : (i+1)*len(all)/batches] {
			s.Close(CloseShutdown)
		}
		if i == batches-1 {
			break
		}
		select {
		case <-ctx.Done():
			for _, s := range all {
				s.Close(CloseShutdown)
			}
			return
		case <-tick.C:
		}
	}
	tick.Reset(10 * time.Millisecond)
	for h.sessions.Load() > 0 && ctx.Err() == nil {
		for _, s := range h.everySession() { // some may have come in while the door was being closed
			s.Close(CloseShutdown)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
