package redis

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// EarlierRevocations returns the revocations that versions up to v0.1 stored in Redis, and those
// after it for each log, so that an update does not make revoked tokens valid again.
func (c *Cache) EarlierRevocations(ctx context.Context) ([]auth.Revocation, error) {
	var ofLog, shared *redis.MapStringStringCmd
	err := c.do(ctx, func(ctx context.Context) error {
		_, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			ofLog, shared = p.HGetAll(ctx, c.prefix+":revoked"), p.HGetAll(ctx, c.shared+":revoked")
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read earlier revocations: %w", err)
	}
	var list []auth.Revocation
	for _, stored := range []map[string]string{ofLog.Val(), shared.Val()} {
		for name, body := range stored {
			var r auth.Revocation
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				return nil, fmt.Errorf("decode revocation %q: %w", name, err)
			}
			list = append(list, r)
		}
	}
	return list, nil
}
