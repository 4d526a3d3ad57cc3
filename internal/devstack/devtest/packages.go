package devtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// fetchTime bounds how long packages are fetched.
const fetchTime = 3 * time.Minute

// fetched returns a folder in the user's cache with the packages that a list names. If it is not
// there yet, it is what a command, made for a new folder, puts into that folder.
func fetched(
	kind string, list []byte, fetch func(ctx context.Context, dir string) (*exec.Cmd, error),
) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(list)
	dir = filepath.Join(cache, "schoolbell", kind+"-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Another process may be doing the same: whichever is first moves a whole folder into place.
	partial, err := os.MkdirTemp(filepath.Dir(dir), kind+"-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(partial)) }()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	cmd, err := fetch(ctx, partial)
	if err != nil {
		return "", err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch packages: %w\n%s", err, out)
	}
	if err := os.Rename(partial, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}
