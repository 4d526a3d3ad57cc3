package program

import (
	"context"
	"strings"

	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/realtime"
)

// wireAudit records who reads what. Its connection is its own, so that it waits for no query.
func (p *program) wireAudit(ctx context.Context) error {
	pool, err := postgres.NewPool(ctx, p.cfg.Database.Audit(p.servers.DatabaseURL))
	if err != nil {
		return err
	}
	p.onClose(func() error { pool.Close(); return nil })
	p.audit, err = audit.New(audit.Config{
		Pool: pool.Conns(), Metrics: p.registry, Logger: p.log,
		Keep: p.cfg.Audit.Keep, Required: p.cfg.Audit.Required,
	})
	if err != nil {
		return err
	}
	p.task(p.audit.Run)
	p.health.Add(telemetry.Check{Name: "audit", Optional: true, Probe: p.audit.Probe})
	return nil
}

// noteRoom records who enters rooms, but for those of announcements and of numbers, and all who are
// refused. Of who tries to enter another school their own is notified.
func (p *program) noteRoom(who realtime.Identity, school string, room domain.Room, refused bool) error {
	thing := "room:" + room.String()
	switch {
	case room == domain.Room{}:
		school, thing = who.School, "connection to another school"
		if school == auth.AllSchools {
			return nil // such a token has no school
		}
	case !refused && (room.Kind == domain.RoomRole || room.Kind == domain.RoomDashboard):
		return nil
	}
	if err := p.audit.Admit(); err != nil && !refused {
		return err
	}
	p.audit.Note(audit.Read{
		School: school, Subject: who.Subject, TokenID: who.TokenID,
		Roles: strings.Join(who.Roles, ","), Thing: thing, Channel: audit.Room,
		Refused: refused,
	})
	return nil
}

// noteDocument records who follows links to documents.
func (p *program) noteDocument(reader document.Reader, hash string, refused bool) error {
	if err := p.audit.Admit(); err != nil && !refused {
		return err
	}
	p.audit.Note(audit.Read{
		School: reader.School, Subject: reader.User, Thing: "document:" + hash, Channel: audit.Link,
		Refused: refused,
	})
	return nil
}
