package program

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/students"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	"github.com/schoolbell/schoolbell/realtime/engineio"
	"github.com/schoolbell/schoolbell/realtime/socketio"
	"github.com/schoolbell/schoolbell/realtime/sse"
)

// live is what serves live connections.
type live struct {
	hub      *realtime.Hub
	socketio *socketio.Server
	api      *httpapi.API // serves queries that come over a live connection
}

// wireRealtime pushes events to live clients. It shares the pool and the positions with the role
// api when that is in the same process.
func (p *program) wireRealtime(
	ctx context.Context, cache *redis.Cache, deps *httpapi.Deps,
) error {
	c := &p.cfg.Realtime
	key, err := p.resumeKey()
	if err != nil {
		return err
	}
	pool, positions := p.tables, deps.Positions
	if pool == nil {
		if pool, err = p.openPool(ctx, "directory",
			p.cfg.Database.API(p.servers.DatabaseURL)); err != nil {
			return err
		}
		positions = checkpoint.NewPositions(pool.Acquire, SetName)
		p.task(positions.Run)
	}
	days := newDays(pool, liveSettingsMaxAge)
	hub, err := realtime.New(realtime.Config{
		Log: p.events, Reader: p.reader, Index: postgres.NewLogIndex(pool, SetName),
		Today: days.today, Rights: rights(pool, positions.Await, days), Bus: redis.NewBus(cache),
		Key:       key,
		Revoked:   func(who realtime.Identity) bool { return p.revoked.Revoked(toPrincipal(who)) },
		RingBytes: c.RingMB << 20, MaxLag: c.MaxLag,
		MaxSessions: c.Connections, MaxPerUser: c.PerUser, MaxRooms: c.Rooms,
		Refused: p.guard.Refused, LogID: p.guard.ID(), Logger: p.log, Registerer: p.registry,
		Joined: p.noteRoom,
	})
	if err != nil {
		return err
	}
	tickets := redis.NewTickets(cache)
	access := &realtime.Access{
		Verify: verifyWith(deps.Verifier), Redeem: tickets.Redeem,
		Origins: p.ownOrigins(), PreAuth: realtime.PreAuth{PerAddress: c.Waiting},
	}
	l := &live{hub: hub}
	burst := max(c.MessageRate, c.Rooms+ownMessages)
	l.socketio = socketio.NewRooms(socketio.Config{
		Engine: engineio.Config{MaxPayload: c.MessageBytes, MaxSessions: c.Connections},
		Access: access, ConnectTimeout: authTimeout,
		MessageRate: float64(c.MessageRate), MessageBurst: burst, Logger: p.log,
	}, hub)
	sockets := centrifuge.New(centrifuge.Config{
		Hub: hub, Access: access, RPC: l.query, ConnectTimeout: authTimeout,
		MaxMessage: c.MessageBytes, CommandRate: c.MessageRate, CommandBurst: burst,
	})
	deps.Live = &httpapi.Live{
		Stream: sse.Handler(sse.Config{Hub: hub, Access: access}),
		Sockets: map[string]http.Handler{
			"/connection/websocket":   sockets,
			"/connection/http_stream": sockets.HTTPStream(),
			"/connection/sse":         sockets.EventStream(),
			"/emulation":              sockets.Commands(),
			"/socket.io/":             l.socketio,
		},
		Issue: func(ctx context.Context, bearer auth.Principal) (string, time.Duration, error) {
			ticket, err := tickets.Issue(ctx, toIdentity(bearer))
			return ticket, redis.TicketLifetime, err
		},
		Revoke:      hub.Revoke,
		Connections: l.connections,
	}
	p.live = l
	p.task(followLog(hub.Run))
	p.task(sockets.Run)
	p.health.Add(telemetry.Check{Name: "realtime", Probe: hub.Ready})
	return nil
}

// ownOrigins are those whose pages may connect. Behind a proxy that does not pass the name that pages
// use, the server recognises its own pages by its public address.
func (p *program) ownOrigins() []string {
	origins := slices.Clone(p.cfg.API.Origins)
	if public, err := url.Parse(p.cfg.Channels.Public); err == nil && public.Host != "" {
		origins = append(origins, public.Scheme+"://"+public.Host)
	}
	return origins
}

// rights looks grants up in the directory, once it has reached the position that they are needed
// for.
func rights(
	pool *postgres.Pool, await func(context.Context, domain.Position) error, days *days,
) realtime.Rights {
	return func(ctx context.Context, school, user string, at domain.Position) (realtime.Grants,
		error,
	) {
		if at.Offset >= 0 {
			if err := await(ctx, at); err != nil {
				return realtime.Grants{}, fmt.Errorf("wait for the directory at %s: %w", at, err)
			}
		}
		today, err := days.today(ctx, school)
		if err != nil {
			return realtime.Grants{}, err
		}
		var g realtime.Grants
		if g.Policy, err = days.policy(ctx, school); err != nil {
			return g, err
		}
		err = pool.Read(ctx, school, func(tx pgx.Tx) (err error) {
			g.Directory, err = students.ConnectionsOf(ctx, tx, school, user, today, g.Policy)
			return err
		})
		return g, err
	}
}

// ownMessages is how many messages a client may send at once in addition to one for each of its rooms.
const ownMessages = 10

// authTimeout is how long a new connection may take to present a token.
const authTimeout = 10 * time.Second

// drainSlack is how long a client may take to receive the notice to reconnect before it is cut off.
const drainSlack = 3 * time.Second

// drain closes the live connections, spread over a time.
func (l *live) drain(ctx context.Context, over time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, over+drainSlack)
	defer cancel()
	l.hub.Drain(ctx, over)
	if err := l.socketio.Shutdown(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// query runs a query that came over a live connection, exactly as the API would.
func (l *live) query(
	ctx context.Context, who realtime.Identity, school, name string, parameters jsontext.Value,
) (jsontext.Value, error) {
	result, err := l.api.Query(ctx, toPrincipal(who), school, name, parameters)
	switch {
	case errors.Is(err, httpapi.ErrNoQuery):
		return nil, centrifuge.ErrUnknownMethod
	case errors.Is(err, httpapi.ErrParameters):
		return nil, centrifuge.BadRequest(err.Error())
	}
	return result, err
}

// connections lists the connections of a user. Each is in the user's own room; operators have none.
func (l *live) connections(ctx context.Context, school, user string) ([]httpapi.Connection, error) {
	members, err := l.hub.Presence(ctx, school, domain.Room{Kind: domain.RoomUser, ID: user})
	list := make([]httpapi.Connection, len(members))
	for i, m := range members {
		list[i] = httpapi.Connection{ID: m.Session, Node: m.Node}
	}
	return list, err
}

// nodes serves operators the connections of every node.
func (l *live) nodes(w http.ResponseWriter, r *http.Request) {
	nodes, err := l.hub.Nodes(r.Context())
	if err != nil {
		w.Header().Set("Warning", `199 schoolbell "other nodes cannot be reached"`)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.MarshalWrite(w, nodes) // the client is gone
}

// resumeKey derives the key that signs resume tokens. Without a secret shared by all processes, the
// tokens are valid in this process only.
func (p *program) resumeKey() ([]byte, error) {
	tokens, err := p.cfg.JWT.Config(p.cfg.Data)
	if err != nil {
		return nil, err
	}
	secret := cmp.Or(p.cfg.Realtime.Key, tokens.Secret)
	if secret == "" {
		secret = rand.Text() // config.Advice has warned of it
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "schoolbell resume tokens", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key of resume tokens: %w", err)
	}
	return key, nil
}

func verifyWith(v *auth.Verifier) func(context.Context, string) (realtime.Identity, error) {
	return func(_ context.Context, token string) (realtime.Identity, error) {
		bearer, err := v.Verify(token)
		switch {
		case errors.Is(err, auth.ErrExpired):
			return realtime.Identity{}, fmt.Errorf("%w: %w", realtime.ErrExpired, err)
		case err != nil:
			return realtime.Identity{}, fmt.Errorf("%w: %w", realtime.ErrInvalidToken, err)
		}
		return toIdentity(bearer), nil
	}
}

func toIdentity(p auth.Principal) realtime.Identity {
	return realtime.Identity{
		Subject: p.Subject, School: p.School, Roles: p.Roles,
		Expires: p.Expires, Issued: p.Issued, TokenID: p.TokenID,
	}
}

func toPrincipal(id realtime.Identity) auth.Principal {
	return auth.Principal{
		Subject: id.Subject, School: id.School, Roles: id.Roles,
		Expires: id.Expires, Issued: id.Issued, TokenID: id.TokenID,
	}
}

// DashboardNotifier notifies live dashboards of commits. It is a [projections.Notifier].
type DashboardNotifier struct {
	notifier *realtime.Notifier
	names    []string // by the index of the projection in the set
}

// wireDashboardNotifier constructs the notifier for the projections of this process. Its own hub is
// notified directly, since Redis may be down.
func (p *program) wireDashboardNotifier(
	cache *redis.Cache, set *projections.Set,
) projections.Notifier {
	var local func(realtime.Changed)
	if p.live != nil {
		local = p.live.hub.Changed
	}
	d := NewDashboardNotifier(realtime.NewNotifier(redis.NewBus(cache), local, 0, p.log), set)
	p.task(d.notifier.Run)
	return d
}

// NewDashboardNotifier returns a notifier for a set of projections, by way of the hubs of all
// processes.
func NewDashboardNotifier(notifier *realtime.Notifier, set *projections.Set) *DashboardNotifier {
	d := &DashboardNotifier{notifier: notifier}
	for _, projection := range set.Projections() {
		d.names = append(d.names, projection.Name)
	}
	return d
}

// Claimed implements [projections.Notifier]. When tables have been exchanged no event says what has
// changed, so all dashboards of the partition's schools reload. The rebuild says so, and the next
// claim of the partition again, as the rebuild may have ended before it could.
func (d *DashboardNotifier) Claimed(ctx context.Context, at domain.Position, epoch, tables int64) error {
	if tables > 0 && epoch <= tables+1 {
		d.notifier.Notify(realtime.Changed{Projections: d.names, Position: at})
		return d.notifier.Flush(ctx)
	}
	return nil
}

// Heartbeat implements [projections.Notifier].
func (d *DashboardNotifier) Heartbeat(context.Context, domain.Position, int64) error { return nil }

// Committed implements [projections.Notifier].
func (d *DashboardNotifier) Committed(
	_ context.Context, at domain.Position, _ int64, changes []*projections.Change,
) error {
	for _, c := range changes {
		changed := realtime.Changed{School: c.School, Position: at}
		for i, offset := range c.Offsets {
			if offset >= 0 {
				changed.Projections = append(changed.Projections, d.names[i])
			}
		}
		d.notifier.Notify(changed)
	}
	return nil
}
