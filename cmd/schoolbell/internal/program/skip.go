package program

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
)

// skipSource is the CloudEvents source of what operators decide.
const skipSource = "schoolbell/operators"

// wireSkip lets operators give up parked events.
func (p *program) wireSkip(
	ctx context.Context, set *projections.Set, deps *httpapi.Deps,
) error {
	c := p.cfg.Database.Projector(p.servers.DatabaseURL)
	c.MaxConns = 1 // an operator's command now and then
	// Without a check of its own: a command that waits must not turn the process unready.
	pool, err := postgres.NewPool(ctx, c)
	if err != nil {
		return err
	}
	p.onClose(func() error { pool.Close(); return nil })
	store := postgres.NewProjectionStore(pool, set, SetName)
	deps.Skip = func(ctx context.Context, r httpapi.SkipRequest) (httpapi.Skipped, error) {
		return p.skip(ctx, store, r)
	}
	return nil
}

// skip first makes sure that nobody folds the event any more, and then says so in the log. When the
// second fails, the event stays parked, and the same request may be made again: the skip has an id
// that follows from the event, so twice is as good as once.
func (p *program) skip(
	ctx context.Context, store *postgres.ProjectionStore, r httpapi.SkipRequest,
) (httpapi.Skipped, error) {
	data := &log.EventSkipped{Position: domain.Position{}.String(), Reason: r.Reason}
	var faults domain.Faults
	if data.Validate(&faults); faults.Err() != nil {
		return httpapi.Skipped{}, faults.Err()
	}
	key := projections.SubjectKey{School: r.School, Subject: r.Subject}
	at, err := store.RequestSkip(ctx, key, r.Only)
	if errors.Is(err, projections.ErrNotParked) {
		return httpapi.Skipped{}, httpapi.ErrNotParked
	}
	if err != nil {
		return httpapi.Skipped{}, err
	}
	data.Position = at.String()
	rec, err := cloudevents.Encode(&domain.Envelope{
		ID: "skip-" + at.String(), Source: skipSource, Type: log.TypeEventSkipped,
		School: r.School, Subject: data.Subject(), Author: r.Author,
		Time: time.Now().UTC().Truncate(time.Millisecond), Data: data,
	})
	if err != nil {
		return httpapi.Skipped{}, fmt.Errorf("encode skip of %s: %w", at, err)
	}
	by, err := p.appender.Append(ctx, r.School, []eventlog.Record{rec})
	if err != nil {
		return httpapi.Skipped{}, fmt.Errorf("append skip of %s: %w", at, err)
	}
	p.log.InfoContext(ctx, "skipping a parked event", "school", r.School, "subject",
		r.Subject, "position", at, "reason", r.Reason, "by", r.By)
	return httpapi.Skipped{Position: p.guard.ID().At(at), By: p.guard.ID().At(by)}, nil
}
