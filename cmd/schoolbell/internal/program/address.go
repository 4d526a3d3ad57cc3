package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/devstack"
)

// Address is where a running serve and its servers are. It is written into the data directory, for the commands that
// need them; it holds passwords, so only the user can read it.
type Address struct {
	PID      int      `json:"pid"`
	HTTP     string   `json:"http"` // base URLs
	Ops      string   `json:"ops"`
	Brokers  []string `json:"brokers"`
	Database string   `json:"database"`
	Redis    string   `json:"redis"`
}

const addressFile = "serve.json"

// Write makes the process known to commands that are given the data directory.
func (a Address) Write(dir string) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode address file: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	file := filepath.Join(dir, addressFile)
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return fmt.Errorf("write address file: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write address file: %w", err)
	}
	return nil
}

// RemoveAddress makes it unknown again. The file of a process that was killed stays, and names one that
// no longer runs.
func RemoveAddress(dir string) { _ = os.Remove(filepath.Join(dir, addressFile)) }

// ReadAddress finds the serve that runs on a data directory.
func ReadAddress(dir string) (Address, error) {
	var a Address
	b, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no schoolbell serve runs on the data directory %s (name it with --data, or start one)", dir)
	}
	if err != nil {
		return a, fmt.Errorf("read address file: %w", err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("read address file: %w", err)
	}
	return a, nil
}

// IsDataDir reports whether a directory is that of a serve, be it one that is just starting.
func IsDataDir(dir string) bool {
	return slices.ContainsFunc([]string{config.SecretFile, devstack.LockFile, addressFile}, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}
