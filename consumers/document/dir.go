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

// Dir keeps blobs in a folder, to which it is confined.
type Dir struct{ root *os.Root }

// OpenDir opens a folder, and makes it first if need be.
func OpenDir(folder string) (*Dir, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of documents: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open folder of documents: %w", err)
	}
	return &Dir{root}, nil
}

// Close gives the folder back.
func (d *Dir) Close() error { return d.root.Close() }

// Write implements [Blobs]: the bytes and their name are on disk when it returns.
func (d *Dir) Write(_ context.Context, name string, body []byte) error {
	folder := path.Dir(name)
	if err := d.root.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	unfinished := name + "." + rand.Text()
	if err := d.writeFile(unfinished, body); err != nil {
		return errors.Join(err, d.root.Remove(unfinished))
	}
	if err := d.root.Rename(unfinished, name); err != nil {
		return errors.Join(err, d.root.Remove(unfinished))
	}
	for ; folder != "."; folder = path.Dir(folder) {
		if err := d.sync(folder); err != nil {
			return err
		}
	}
	return d.sync(".")
}

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

func (d *Dir) sync(folder string) error {
	f, err := d.root.Open(folder)
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
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", name, info.Size(), maxBytes)
	}
	return io.ReadAll(io.LimitReader(f, maxBytes))
}
