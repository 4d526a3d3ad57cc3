package document

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Dir stores blobs in a directory and cannot leave it: it is an [os.Root], so that neither ".." nor
// a symbolic link leads out.
type Dir struct{ root *os.Root }

// OpenDir opens a directory, and creates it if it does not exist.
func OpenDir(dir string) (*Dir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create document directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open document directory: %w", err)
	}
	return &Dir{root}, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Write implements [Blobs]. It writes a temporary file, syncs it, renames it and syncs the
// directories above, so that after a crash there is the whole blob under its name or none.
func (d *Dir) Write(_ context.Context, name string, body []byte) error {
	dir := path.Dir(name)
	if err := d.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unfinished := name + "." + rand.Text()
	if err := d.writeFile(unfinished, body); err != nil {
		return errors.Join(err, d.root.Remove(unfinished))
	}
	if err := d.root.Rename(unfinished, name); err != nil {
		return errors.Join(err, d.root.Remove(unfinished))
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if err := d.sync(dir); err != nil {
			return err
		}
	}
	return d.sync(".")
}

// writeFile creates a file and syncs it. O_EXCL makes a clash of temporary names an error, never a
// mixture of two documents.
func (d *Dir) writeFile(name string, body []byte) (err error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(body); err != nil {
		return err
	}
	return f.Sync()
}

// sync makes the entries of a directory durable: without it a rename may be lost with the power.
func (d *Dir) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Read implements [Blobs].
func (d *Dir) Read(_ context.Context, name string, maxBytes int64) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case info.Size() > maxBytes:
		return nil, fmt.Errorf("%s has %d bytes, at most %d bytes are allowed", name, info.Size(),
			maxBytes)
	}
	return io.ReadAll(io.LimitReader(f, maxBytes))
}
