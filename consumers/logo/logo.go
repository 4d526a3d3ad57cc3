package logo

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/ledger"
)

// Service reads and changes the logos of schools.
type Service struct {
	Store    *document.Store
	Settings *ledger.Settings
}

// Get returns a school's logo and its hash. The error is [fs.ErrNotExist] when it has none.
func (l *Service) Get(ctx context.Context, school string) (picture []byte, hash string, err error) {
	now, err := l.Settings.Current(ctx, school)
	if err != nil {
		return nil, "", err
	}
	if now.Logo == "" {
		return nil, "", fmt.Errorf("logo of school %q: %w", school, fs.ErrNotExist)
	}
	picture, err = l.Store.Get(ctx, now.Logo)
	return picture, now.Logo, err
}

// Put makes an upload the logo of a school, for documents planned from now on, and returns its
// hash. The error is [ErrUnreadable] or [ErrTooLarge] when it cannot be used.
func (l *Service) Put(ctx context.Context, school, actor string,
	upload []byte,
) (hash string, err error) {
	picture, err := Clean(upload)
	if err != nil {
		return "", err
	}
	if hash, err = l.Store.Put(ctx, picture); err != nil {
		return "", err
	}
	return hash, l.Settings.Change(ctx, school, actor,
		func(s *consumers.Settings) { s.Logo = hash })
}

// Remove leaves a school without a logo. Documents that were planned with it still show it, so that
// rendering them again gives the same bytes.
func (l *Service) Remove(ctx context.Context, school, actor string) error {
	return l.Settings.Change(ctx, school, actor, func(s *consumers.Settings) { s.Logo = "" })
}
