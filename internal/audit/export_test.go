package audit

import "context"

// Prune deletes what is older than it is to be stored.
func (t *Trail) Prune(ctx context.Context) error {
	_, err := t.prune(ctx)
	return err
}
