package authors

import "context"

// Flush stores the rows that wait for PostgreSQL.
func (a *Authors) Flush(ctx context.Context) error { return a.flush(ctx) }
