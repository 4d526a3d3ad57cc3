package ledger

import (
	"context"
	"fmt"
	"net/http"

	"riverqueue.com/riverui"
)

// Pages returns River's own pages about jobs, under a path, and what they need to run. They show the jobs of all schools
// and change them, so whoever mounts them asks for an operator's rights.
func (l *Ledger) Pages(path string) (http.Handler, func(context.Context) error, error) {
	pages, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(l.river, nil), Prefix: path, Logger: quietly(l.cfg.Logger),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("prepare River's pages: %w", err)
	}
	return pages, func(ctx context.Context) error {
		if err := pages.Start(ctx); err != nil {
			return fmt.Errorf("start River's pages: %w", err)
		}
		<-ctx.Done()
		return nil
	}, nil
}
