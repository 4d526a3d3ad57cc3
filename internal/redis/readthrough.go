package redis

import (
	"context"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"
)

// ReadThrough reads answers of one type through a cache: from it when one holds, else by loading it, once at a time for each
// key across goroutines.
type ReadThrough[T any] struct {
	cache   *Cache // nil keeps nothing
	codec   Codec[T]
	timeout time.Duration
	flights singleflight.Group
}

// Codec writes an answer down and reads it again. An answer that cannot be read is loaded anew.
type Codec[T any] struct {
	Append func(b []byte, answer T) []byte
	Parse  func(b []byte) (T, error)
}

// NewReadThrough makes a reader of answers. Limit is how long loading one may take: a load that others wait for goes on
// when the request that started it is gone.
func NewReadThrough[T any](c *Cache, codec Codec[T], limit time.Duration) *ReadThrough[T] {
	return &ReadThrough[T]{cache: c, codec: codec, timeout: limit}
}

// Lookup is one request for an answer.
type Lookup struct {
	Key       Key
	TTL       time.Duration // how long it may be kept; 0 is not at all
	MinOffset int64         // the offset of the last event that must be in it; -1 for any
	Private   bool          // neither looked for nor kept
	// Await returns once a load can meet AtLeast. Each request waits for itself, so that none waits for what another one
	// has to see. It may be nil.
	Await func(context.Context) error
}

// Load makes an answer and says the offset of the last event in it, which must not be below the one asked for.
type Load[T any] func(ctx context.Context) (answer T, offset int64, err error)

type loaded[T any] struct {
	value  T
	offset int64
}

// Get returns an answer, the offset of the last event that is certainly in it, and where it came from.
func (a *ReadThrough[T]) Get(ctx context.Context, lookup Lookup, load Load[T]) (T, int64, Outcome, error) {
	shared := a.cache != nil && lookup.TTL != 0 && !lookup.Private
	outcome := Bypass
	if shared {
		var kept cached
		kept, outcome = a.cache.get(ctx, lookup.Key, lookup.MinOffset)
		if outcome == Hit {
			if answer, err := a.codec.Parse(kept.value); err == nil {
				return answer, kept.offset, Hit, nil
			}
			outcome = Miss
		}
	}
	if lookup.Await != nil {
		if err := lookup.Await(ctx); err != nil {
			var none T
			return none, 0, outcome, err
		}
	}
	if !shared {
		answer, offset, err := load(ctx)
		return answer, offset, outcome, err
	}
	key := a.cache.entryKey(lookup.Key)
	got, err := a.once(ctx, key, lookup, load)
	if err == nil && got.offset < lookup.MinOffset {
		// Joined a load that others had begun before the event that this one has to see.
		got, err = a.once(ctx, key+"@"+strconv.FormatInt(lookup.MinOffset, 10), lookup, load)
	}
	return got.value, got.offset, outcome, err
}

// once loads an answer, or joins the load of the same key that is under way.
func (a *ReadThrough[T]) once(ctx context.Context, key string, lookup Lookup, load Load[T]) (loaded[T], error) {
	flight := a.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
		defer cancel()
		answer, offset, err := load(ctx)
		if err == nil {
			a.cache.put(ctx, lookup.Key, a.codec.Append(nil, answer), offset, lookup.TTL)
		}
		return loaded[T]{answer, offset}, err
	})
	select {
	case <-ctx.Done():
		return loaded[T]{}, ctx.Err()
	case r := <-flight:
		return r.Val.(loaded[T]), r.Err
	}
}
