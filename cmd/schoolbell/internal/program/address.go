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

// Address says where a running serve and its servers are. It is stored in the data directory for
// the commands that need it, readable by its user only, since the URLs contain passwords.
type Address struct {
	PID      int      `json:"pid"`
	HTTP     string   `json:"http"`            // base URLs
	School   string   `json:"school,omitzero"` // that a newcomer is shown first
	Ops      string   `json:"ops"`
	Brokers  []string `json:"brokers"`
	Database string   `json:"database"`
	Redis    string   `json:"redis"`
	// MaxParked is the limit that its tables are made with.
	MaxParked int `json:"max_parked,omitzero"`
}

const addressFile = "serve.json"

// Write makes the process known to commands that are given the data directory.
func (a Address) Write(dir string) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode address file: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
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

// RemoveAddress makes it unknown again. The file of a killed process stays and names a process
// that no longer runs.
func RemoveAddress(dir string) { _ = os.Remove(filepath.Join(dir, addressFile)) }

// ReadAddress finds the serve that runs on a data directory. Its error says what to do when there
// is none.
func ReadAddress(dir string) (Address, error) {
	var a Address
	b, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no schoolbell serve runs on the data directory %s "+
			"(give another with --data, or start one)", dir)
	}
	if err != nil {
		return a, fmt.Errorf("read address file: %w", err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("read address file: %w", err)
	}
	return a, nil
}

// IsDataDir reports whether a directory is the data directory of a serve, including one that is
// still starting.
func IsDataDir(dir string) bool {
	marks := []string{config.SecretFile, devstack.LockFile, addressFile}
	return slices.ContainsFunc(marks, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}
