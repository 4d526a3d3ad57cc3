package cache

import (
	"context"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"
)

// ReadThrough reads results of one type through the cache: a current one from there, else by
// loading it. Concurrent loads of the same key are one load.
type ReadThrough[T any] struct {
	store   Store // nil: nothing is cached
	codec   Codec[T]
	timeout time.Duration
	flights singleflight.Group
}

// Codec encodes and decodes a result. One that cannot be decoded is loaded again.
type Codec[T any] struct {
	Append func(b []byte, value T) []byte
	Parse  func(b []byte) (T, error)
}

// NewReadThrough returns a reader. Timeout limits a load: it is not tied to the request that
// started it, since others may have joined it.
func NewReadThrough[T any](s Store, codec Codec[T], timeout time.Duration) *ReadThrough[T] {
	return &ReadThrough[T]{store: s, codec: codec, timeout: timeout}
}

// Lookup is one request for a result.
type Lookup struct {
	Key       Key
	TTL       time.Duration // how long it may be cached; 0: not at all
	MinOffset int64         // the offset of the last event that it must cover; -1: any
	Private   bool          // neither read from the cache nor stored
	// Await returns once a load can cover MinOffset. Each request waits on its own, before it joins
	// a load, so that none waits for an event that only another one has to see. It may be nil.
	Await func(context.Context) error
}

// Load makes a result and returns the snapshot that it is from, at MinOffset or later.
type Load[T any] func(ctx context.Context) (value T, of Snapshot, err error)

type loaded[T any] struct {
	value T
	of    Snapshot
}

// Get returns a result, the offset of the last event that it is sure to cover, and where it came
// from.
func (r *ReadThrough[T]) Get(
	ctx context.Context, lookup Lookup, load Load[T],
) (T, int64, Outcome, error) {
	shared := r.store != nil && lookup.TTL != 0 && !lookup.Private
	outcome := Bypass
	if shared {
		var hit Entry
		hit, outcome = r.store.Get(ctx, lookup.Key, lookup.MinOffset)
		if outcome == Hit {
			if value, err := r.codec.Parse(hit.Value); err == nil {
				return value, hit.Offset, Hit, nil
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
		value, of, err := load(ctx)
		return value, of.Offset, outcome, err
	}
	key := lookup.Key.School + "\x00" + lookup.Key.Query + "\x00" + lookup.Key.Input
	got, err := r.once(ctx, key, lookup, load)
	if err == nil && got.of.Offset < lookup.MinOffset {
		// It joined a load that began before the event that this request has to see.
		got, err = r.once(ctx, key+"@"+strconv.FormatInt(lookup.MinOffset, 10), lookup, load)
	}
	return got.value, got.of.Offset, outcome, err
}

// once loads a result, or joins the load of the same key that is under way.
func (r *ReadThrough[T]) once(
	ctx context.Context, key string, lookup Lookup, load Load[T],
) (loaded[T], error) {
	flight := r.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		value, of, err := load(ctx)
		if err == nil {
			r.store.Put(ctx, lookup.Key, r.codec.Append(nil, value), of, lookup.TTL)
		}
		return loaded[T]{value, of}, err
	})
	select {
	case <-ctx.Done():
		return loaded[T]{}, ctx.Err()
	case done := <-flight:
		return done.Val.(loaded[T]), done.Err
	}
}
