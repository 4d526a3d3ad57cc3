package read

import (
	"encoding/base64"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/projections/query"
)

// Page returns the size of a page: the requested limit up to maxLimit, or fallback when none was
// requested.
func Page(limit, fallback, maxLimit int) int {
	if limit <= 0 {
		return fallback
	}
	return min(limit, maxLimit)
}

// Cursor encodes where a page ended: the sort key of its last item, opaque to clients. A key and
// not an offset, so that items added meanwhile neither repeat nor hide one.
func Cursor[K any](after K) (string, error) {
	b, err := json.Marshal(after)
	if err != nil {
		return "", fmt.Errorf("write cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// ParseCursor reads what Cursor has made. The empty cursor, the list's beginning, is nil.
func ParseCursor[K any](cursor string) (*K, error) {
	if cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, fmt.Errorf("%w: %.40q is not a cursor of this query", query.ErrInput, cursor)
	}
	k := new(K)
	if err := json.Unmarshal(b, k, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: %.40q is not a cursor of this query", query.ErrInput, cursor)
	}
	// for example null, or an object that lacks members
	if again, err := Cursor(*k); err != nil || again != cursor {
		return nil, fmt.Errorf("%w: %.40q is not a cursor of this query", query.ErrInput, cursor)
	}
	return k, nil
}

// Cut takes a list that was read with one item more than the page holds, and returns the page and
// the cursor of the next one; the cursor is empty on the last page.
func Cut[T, K any](items []T, limit int, key func(T) K) (page []T, next string, err error) {
	if len(items) <= limit {
		return items, "", nil
	}
	page = items[:limit]
	next, err = Cursor(key(page[limit-1]))
	return page, next, err
}
