package webpush

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
)

// Store holds subscriptions in PostgreSQL, for the provider.
type Store struct {
	pool *pgxpool.Pool
}

// NewStore returns a store on a pool in the role schoolbell_jobs.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool} }

// maxDevices is the limit of devices per user; a further one replaces the oldest.
const maxDevices = 10

// Add adds a device, in a transaction that sees the user's rows. Browsers renew their
// subscriptions: the same endpoint again replaces its keys. The error is a [*domain.InvalidError]
// when the subscription is invalid.
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
		return fmt.Errorf("remove the oldest device: %w", err)
	}
	return nil
}

// Remove deletes a device on which the user no longer wants notices. Deleting it again changes
// nothing.
func Remove(ctx context.Context, tx pgx.Tx, school, user, endpoint string) error {
	if _, err := tx.Exec(ctx,
		`DELETE FROM schoolbell.push_subscriptions WHERE school = $1 AND user_id = $2 AND endpoint = $3`,
		school, user, endpoint); err != nil {
		return fmt.Errorf("remove device: %w", err)
	}
	return nil
}

// validate returns a [*domain.InvalidError] with all faults.
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

// endpointProblem says why an address cannot be that of a push service, as far as that can be seen
// without resolving its name: what the name leads to is checked when connecting.
func endpointProblem(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		u.Fragment != "" {
		return "must be an https address, as the browser's push service gave it"
	}
	if port := u.Port(); port != "" && port != "443" {
		return "must be at port 443, as those of all push services are"
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil && !isPublic(ip) ||
		err != nil && endsInNumber(host) || !strings.ContainsAny(host, ".:") || strings.HasSuffix(host, ".localhost") {
		return "must be on the internet"
	}
	return ""
}

// endsInNumber reports a host that only looks like a name: browsers and some resolvers take 127.1,
// 0177.0.0.1 and 0x7f.1 for addresses, and no name of the internet ends like that.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || strings.HasPrefix(last, "0x")
}

// List returns the devices of a user.
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

// Remove deletes a device whose subscription has ended.
func (t *Store) Remove(ctx context.Context, school, user, endpoint string) error {
	_, err := t.pool.Exec(ctx,
		`DELETE FROM schoolbell.push_subscriptions WHERE school = $1 AND user_id = $2 AND endpoint = $3`, school, user, endpoint)
	return err
}
