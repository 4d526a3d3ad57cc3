package logo

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
)

// Settings is where schools say which picture is theirs.
type Settings interface {
	Current(ctx context.Context, school string) (*consumers.Settings, error)
	// Change changes the settings that are in force, and no others.
	Change(ctx context.Context, school, actor string, change func(*consumers.Settings)) error
}

// Service are those of schools.
type Service struct {
	Store    *document.Store
	Settings Settings
}

// Get returns a school's picture and its hash. The error is [fs.ErrNotExist] when it has none.
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

// Put makes an upload the picture of a school, on documents that are planned from now on, and returns its hash. The error
// is [ErrUnreadable] or [ErrTooLarge] when it cannot be used.
func (l *Service) Put(ctx context.Context, school, actor string, upload []byte) (hash string, err error) {
	picture, err := Clean(upload)
	if err != nil {
		return "", err
	}
	if hash, err = l.Store.Put(ctx, picture); err != nil {
		return "", err
	}
	return hash, l.Settings.Change(ctx, school, actor, func(s *consumers.Settings) { s.Logo = hash })
}

// Remove leaves a school without a picture. Documents that were planned with it keep it.
func (l *Service) Remove(ctx context.Context, school, actor string) error {
	return l.Settings.Change(ctx, school, actor, func(s *consumers.Settings) { s.Logo = "" })
}
