package program

import (
	"context"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/internal/revocation"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

// SetName names the set in which all projections advance together. Checkpoints are stored under
// it, and it is the consumer group by which processes share the partitions.
const SetName = "analytics"

// wireRoles constructs what every role needs, then the parts of the roles of this process.
func (p *program) wireRoles(ctx context.Context) error {
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return err
	}
	cacheConfig := p.cfg.Redis.Config(p.servers.Redis, p.topic.ID)
	if p.servers.cache != nil {
		cacheConfig.Timeout = time.Second // it shares our processors and cannot be down
	}
	cache, err := redis.Open(cacheConfig, p.registry)
	if err != nil {
		return err
	}
	p.onClose(cache.Close)
	p.health.Add(telemetry.Check{Name: "cache", Optional: true, Probe: cache.Ping})

	if err := p.wireTokens(ctx, cache); err != nil {
		return err
	}
	if err := p.wireAudit(ctx); err != nil {
		return err
	}
	deps := httpapi.Deps{
		Audit:    p.audit,
		Verifier: p.verifier, Revoke: p.revoked.Add, Cache: cache, Set: SetName, Partitions: p.topic.Partitions,
		Refused: p.guard.Refused, LogID: p.guard.ID(), Metrics: p.registry, Logger: p.log,
	}
	notifiers := []projections.Notifier{redis.NewNotifier(cache, set)}
	if p.cfg.Has(config.RoleIngest) || p.cfg.Has(config.RoleAPI) {
		if err := p.wireAuthors(ctx, &deps); err != nil {
			return err
		}
	}
	if p.cfg.Has(config.RoleIngest) {
		if err := p.wireIngest(ctx, &deps); err != nil {
			return err
		}
	}
	if p.cfg.Has(config.RoleAPI) {
		if err := p.wireQueries(ctx, &deps); err != nil {
			return err
		}
		if err := p.wireSkip(ctx, set, &deps); err != nil {
			return err
		}
		notifiers = append(notifiers, projections.PositionNotifier(deps.Positions.Reached))
		p.wireImports(&deps)
	}
	if deps.Log != nil {
		deps.Reader = p.reader
		if deps.Index, err = p.logIndex(ctx); err != nil {
			return err
		}
	}
	if p.cfg.Has(config.RoleRealtime) {
		if err := p.wireRealtime(ctx, cache, &deps); err != nil {
			return err
		}
	}
	if p.cfg.Has(config.RoleProjections) {
		notifiers = append(notifiers, p.wireDashboardNotifier(cache, set))
		if err := p.wireProjections(ctx, set, notifiers); err != nil {
			return err
		}
	}
	if p.cfg.Has(config.RoleConsumers) || p.cfg.Has(config.RoleAPI) {
		if err := p.wireConsumers(ctx, &deps); err != nil {
			return err
		}
	}
	return p.wireAPI(deps)
}

// logIndex is what finds a school's events in the log. Where no queries are served it has
// connections of its own, which take no process out of service: the log can be read without it.
func (p *program) logIndex(ctx context.Context) (eventlog.Index, error) {
	pool := p.tables
	if pool == nil {
		var err error
		if pool, err = postgres.NewPool(ctx, p.cfg.Database.API(p.servers.DatabaseURL)); err != nil {
			return nil, err
		}
		p.onClose(func() error { pool.Close(); return nil })
	}
	return postgres.NewLogIndex(pool, SetName), nil
}

// wireTokens prepares the verification of tokens, and what refuses them before they expire.
func (p *program) wireTokens(ctx context.Context, cache *redis.Cache) error {
	pool, err := postgres.NewPool(ctx, p.cfg.Database.Revocations(p.servers.DatabaseURL))
	if err != nil {
		return err
	}
	p.onClose(func() error { pool.Close(); return nil })
	p.revoked = revocation.New(pool.Conns(), p.log)
	if err := p.revoked.Load(ctx); err != nil {
		return err
	}
	earlier, err := cache.EarlierRevocations(ctx)
	if err == nil {
		err = p.revoked.Import(ctx, earlier)
	}
	if err != nil {
		p.log.WarnContext(ctx, "tokens that were revoked before the update to this version may be "+
			"accepted; start again when Redis is reachable", "error", err)
	}
	p.task(p.revoked.Run)
	tokens, err := p.cfg.JWT.Config(p.cfg.Data)
	if err != nil {
		return err
	}
	tokens.Revoked = p.revoked.Revoked
	p.verifier, err = auth.New(ctx, tokens, p.log)
	return err
}

// wireLogHealth reports on the log and on this process's part in reading it.
func (p *program) wireLogHealth() {
	p.task(p.events.WatchTopic)
	p.health.Add(
		telemetry.Check{
			// All processes lose Kafka together. Those that serve dashboards do so without it, and must
			// not be taken out of service, as nobody would be left.
			Name: "log", Optional: !p.cfg.Has(config.RoleIngest) || p.cfg.Has(config.RoleAPI),
			Probe: func(ctx context.Context) error {
				_, err := p.events.Topic(ctx)
				return err
			},
		},
		telemetry.Check{
			Name: "topic", Optional: true,
			Probe: func(context.Context) error { return p.events.TopicProblems() },
		},
	)
	if p.cfg.Has(config.RoleProjections) || p.cfg.Has(config.RoleConsumers) {
		p.health.Add(telemetry.Check{
			Name: "groups", Optional: true,
			Probe: func(context.Context) error { return p.events.GroupProblems() },
		})
	}
}

// wireAPI assembles the public handler from what the roles have provided. A process without the
// role api has one too: it serves what its roles have, and responds to the rest that it is not
// here.
func (p *program) wireAPI(deps httpapi.Deps) error {
	api, err := httpapi.New(p.cfg.API.Config(ThisBuild().Version), deps)
	if err != nil {
		return err
	}
	p.task(api.Run)
	p.handler = api
	if p.cfg.Trace.Endpoint != "" {
		p.handler = telemetry.TraceRequests(p.tracers, api)
	}
	if p.live != nil {
		p.live.api = api
	}
	return nil
}

// openPool opens a pool of connections, which is a part of readiness under its name.
func (p *program) openPool(
	ctx context.Context, name string, c postgres.Config,
) (*postgres.Pool, error) {
	pool, err := postgres.NewPool(ctx, c)
	if err != nil {
		return nil, err
	}
	p.onClose(func() error { pool.Close(); return nil })
	p.health.Add(telemetry.Check{Name: name, Probe: pool.Ping})
	p.watchWorkers(pool)
	return pool, nil
}
