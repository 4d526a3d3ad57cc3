package main

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	"github.com/schoolbell/schoolbell/realtime/socketio"
	"github.com/schoolbell/schoolbell/realtime/sse"
)

// live is the realtime side of a process.
type live struct {
	hub        *realtime.Hub
	centrifuge *centrifuge.Server
	socketio   *socketio.Server
	routes     *http.ServeMux
}

// wireRealtime pushes events to live clients. It shares the pool and the positions of the queries, if they are here.
func (p *program) wireRealtime(ctx context.Context, cache *redis.Cache, deps *httpapi.Deps) error {
	tokens, err := p.cfg.JWT.Config(p.cfg.Data)
	if err != nil {
		return err
	}
	verifier, err := auth.New(ctx, tokens, p.log)
	if err != nil {
		return err
	}
	key, err := resumeKey(p.cfg.Realtime.Key, tokens.Secret)
	if err != nil {
		return err
	}
	pool, positions := deps.Pool, deps.Positions
	if pool == nil {
		if pool, err = p.openPool(ctx, "directory", p.cfg.Database.API(p.servers.databaseURL)); err != nil {
			return err
		}
		positions = httpapi.NewPositions(pool, setName)
		p.task(positions.Run)
	}
	hub, err := realtime.New(realtime.Config{
		Log: p.events, Rights: postgres.NewRights(pool, positions.Await), Bus: redis.NewBus(cache), Key: key,
		RingBytes: p.cfg.Realtime.RingMB << 20, MaxLag: p.cfg.Realtime.MaxLag, MaxSessions: p.cfg.Realtime.Connections,
		MaxPerUser: p.cfg.Realtime.PerUser, MaxRooms: p.cfg.Realtime.Rooms, Logger: p.log, Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	tickets := redis.NewTickets(cache)
	access := &realtime.Access{
		Verify: verifyWith(verifier), Redeem: tickets.Redeem,
		Origins: p.cfg.API.Origins, AllowNoOrigin: p.cfg.Realtime.AllowNoOrigin,
	}
	l := &live{
		hub:        hub,
		centrifuge: centrifuge.New(centrifuge.Config{Hub: hub, Access: access}),
		socketio:   socketio.NewRooms(socketio.Config{Access: access, Logger: p.log}, hub),
		routes:     http.NewServeMux(),
	}
	l.routes.Handle("/connection/websocket", l.centrifuge)
	l.routes.Handle("/socket.io/", l.socketio)
	l.routes.Handle("GET /v1/schools/{school}/stream", sse.Handler(sse.Config{Hub: hub, Access: access}))
	l.routes.HandleFunc("POST /v1/realtime/tickets", issueTicket(access, tickets))
	p.live = l
	p.task(hub.Run)
	p.task(l.centrifuge.Run)
	p.health.Add(telemetry.Check{Name: "realtime", Ask: hub.Ready})
	return nil
}

// drain lets go of the live connections.
func (l *live) drain(ctx context.Context, over time.Duration) error {
	l.hub.Drain(ctx, over)
	return l.socketio.Shutdown(ctx)
}

// resumeKey makes the key that resume tokens are signed with. Without any secret that all processes share, tokens are
// good in this process only.
func resumeKey(own, secret string) ([]byte, error) {
	if own == "" {
		own = secret
	}
	if own == "" {
		own = rand.Text()
	}
	key, err := hkdf.Key(sha256.New, []byte(own), nil, "schoolbell resume tokens", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of resume tokens: %w", err)
	}
	return key, nil
}

func verifyWith(v *auth.Verifier) func(context.Context, string) (realtime.Identity, error) {
	return func(_ context.Context, token string) (realtime.Identity, error) {
		who, err := v.Verify(token)
		switch {
		case errors.Is(err, auth.ErrExpired):
			return realtime.Identity{}, fmt.Errorf("%w: %w", realtime.ErrExpired, err)
		case err != nil:
			return realtime.Identity{}, fmt.Errorf("%w: %w", realtime.ErrInvalidToken, err)
		}
		return realtime.Identity{Subject: who.Subject, School: who.School, Roles: who.Roles, Expires: who.Expires}, nil
	}
}

// issueTicket exchanges a token for a ticket, for clients that can send nothing but an address.
func issueTicket(access *realtime.Access, tickets redis.Tickets) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !access.AllowOrigin(r) {
			http.Error(w, "this origin may not connect", http.StatusForbidden)
			return
		}
		who, err := access.Identify(r)
		if err != nil {
			http.Error(w, err.Error(), realtime.StatusOf(err))
			return
		}
		ticket, err := tickets.Issue(r.Context(), who)
		if err != nil {
			w.Header().Set("Retry-After", "2")
			http.Error(w, "tickets cannot be made now", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.MarshalWrite(w, map[string]any{"ticket": ticket, "expires_in": int(redis.TicketTime.Seconds())})
	}
}

// beside serves the realtime routes, and everything else as before: connections that stay open are no requests.
func (l *live) beside(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := l.routes.Handler(r); pattern != "" {
			l.routes.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// dashboards tells live dashboards what has been committed. It is a [projections.Notifier].
type dashboards struct {
	announcer *realtime.Announcer
	names     []string // by the projection's place in the set
}

// wireDashboards makes a notifier for the projections of this process.
func (p *program) wireDashboards(cache *redis.Cache, set *projections.Set) projections.Notifier {
	var local func(realtime.Changed)
	if p.live != nil {
		local = p.live.hub.Changed
	}
	d := &dashboards{announcer: realtime.NewAnnouncer(redis.NewBus(cache), local, 0, p.log)}
	for _, projection := range set.Projections() {
		d.names = append(d.names, projection.Name)
	}
	p.task(d.announcer.Run)
	return d
}

// Claimed implements [projections.Notifier].
func (d *dashboards) Claimed(context.Context, domain.Position, int64) error { return nil }

// Heartbeat implements [projections.Notifier].
func (d *dashboards) Heartbeat(context.Context, domain.Position, int64) error { return nil }

// Committed implements [projections.Notifier].
func (d *dashboards) Committed(_ context.Context, at domain.Position, _ int64, changes []*projections.Change) error {
	for _, c := range changes {
		told := realtime.Changed{School: c.School, Position: at}
		for i, offset := range c.Offsets {
			if offset >= 0 {
				told.Projections = append(told.Projections, d.names[i])
			}
		}
		d.announcer.Tell(told)
	}
	return nil
}
