package webpush

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
)

// Store keeps subscriptions in PostgreSQL. It implements [Subscriptions].
type Store struct {
	pool *pgxpool.Pool
}

// NewStore returns the table on a pool in the role schoolbell_jobs.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool} }

// maxDevices is how many devices somebody may have: the oldest is forgotten for the next one.
const maxDevices = 10

// Add takes on a device, in a transaction that sees the user's rows. Browsers renew their subscriptions: the same endpoint
// again replaces its keys.
func Add(ctx context.Context, tx pgx.Tx, school, user string, s Subscription) error {
	if err := s.validate(); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO schoolbell.push_subscriptions (school, user_id, endpoint, p256dh, auth) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (school, user_id, endpoint) DO UPDATE SET p256dh = excluded.p256dh, auth = excluded.auth, created_at = clock_timestamp()`,
		school, user, s.Endpoint, s.Keys.P256dh, s.Keys.Auth); err != nil {
		return fmt.Errorf("add device: %w", err)
	}
	if _, err := tx.Exec(ctx, `
		DELETE FROM schoolbell.push_subscriptions WHERE school = $1 AND user_id = $2 AND endpoint IN (
			SELECT endpoint FROM schoolbell.push_subscriptions WHERE school = $1 AND user_id = $2
			ORDER BY created_at DESC, endpoint OFFSET $3)`, school, user, maxDevices); err != nil {
		return fmt.Errorf("forget the oldest device: %w", err)
	}
	return nil
}

// Remove forgets a device that its user no longer wants to be told by. To say so again changes nothing.
func Remove(ctx context.Context, tx pgx.Tx, school, user, endpoint string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM schoolbell.push_subscriptions WHERE school = $1 AND user_id = $2 AND endpoint = $3`,
		school, user, endpoint); err != nil {
		return fmt.Errorf("forget device: %w", err)
	}
	return nil
}

// validate returns a [*domain.InvalidError] with all that is wrong.
func (s Subscription) validate() error {
	var f domain.Faults
	f.Text("/endpoint", s.Endpoint, 2*domain.MaxTextLength)
	if len(f.List) == 0 {
		if reason := endpointProblem(s.Endpoint); reason != "" {
			f.Add("/endpoint", "%s", reason)
		}
	}
	if _, _, err := s.Keys.decode(); err != nil {
		f.Add("/keys", "%s", err)
	}
	return f.Err()
}

// endpointProblem says why an address cannot be that of a push service, as far as can be seen without looking it up: what its
// name leads to is seen when it is called.
func endpointProblem(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return "must be an https address, as the browser's push service gave it"
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil && !isPublic(ip) || !strings.ContainsAny(host, ".:") || strings.HasSuffix(host, ".localhost") {
		return "must be on the internet"
	}
	return ""
}

// List implements [Subscriptions].
func (t *Store) List(ctx context.Context, school, user string) ([]Subscription, error) {
	rows, err := t.pool.Query(ctx, `
		SELECT endpoint, p256dh, auth FROM schoolbell.push_subscriptions WHERE school = $1 AND user_id = $2 ORDER BY endpoint`, school, user)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Subscription, err error) {
		return s, row.Scan(&s.Endpoint, &s.Keys.P256dh, &s.Keys.Auth)
	})
}

// Remove implements [Subscriptions].
func (t *Store) Remove(ctx context.Context, school, user, endpoint string) error {
	_, err := t.pool.Exec(ctx, `DELETE FROM schoolbell.push_subscriptions WHERE school = $1 AND user_id = $2 AND endpoint = $3`, school, user, endpoint)
	return err
}
