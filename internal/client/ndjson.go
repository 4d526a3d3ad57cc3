package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
)

// ReadLines reads structured CloudEvents, one per line, and passes each to take with its school:
// the one that it names, else the given one. Empty lines are skipped. It stops at the first line
// that is not an event, with an error that names the line; later lines are not read.
func ReadLines(
	r io.Reader, school string, take func(school string, line int, event []byte) error,
) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), MaxBytes)
	n := 0
	for lines.Scan() {
		n++
		event := bytes.TrimSpace(lines.Bytes())
		if len(event) == 0 {
			continue
		}
		var named struct {
			School string `json:"school"`
		}
		if err := json.Unmarshal(event, &named); err != nil {
			return fmt.Errorf("line %d is not an event: %w", n, err)
		}
		if named.School == "" {
			named.School = school
		}
		if named.School == "" {
			return fmt.Errorf("line %d names no school", n)
		}
		if err := take(named.School, n, event); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than %d bytes", n+1, MaxBytes)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read line %d: %w", n+1, err)
	}
	return nil
}
