package bench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// JobsPeer is another program that does what [Jobs] does, in a process of its own. Its arguments
// are: the port of its Redis, deliveries, schools, deliveries a second and seconds of the pick-up,
// and jobs at the same time. Last, it prints a [jobsMeasured].
type JobsPeer struct {
	Name    string
	Setup   string // what it stands on
	Command []string
	Port    int // of its Redis
}

// jobsMeasured is what one side of the comparison has come to, round by round. Rates are deliveries
// a second.
type jobsMeasured struct {
	Planned []float64 `json:"planned"`
	Done    []float64 `json:"done"`
	Both    []float64 `json:"both"`
	Pickup  []float64 `json:"pickup_ms"` // of all rounds together
}

func (m *jobsMeasured) merge(round *jobsMeasured) {
	m.Planned, m.Done = append(m.Planned, round.Planned...), append(m.Done, round.Done...)
	m.Both, m.Pickup = append(m.Both, round.Both...), append(m.Pickup, round.Pickup...)
}

func (p *JobsPeer) measure(ctx context.Context, b *Jobs) (*jobsMeasured, error) {
	args := append([]string(nil), p.Command[1:]...)
	for _, n := range []int{p.Port, b.Deliveries, b.Schools, b.Rate} {
		args = append(args, strconv.Itoa(n))
	}
	args = append(args, strconv.FormatFloat(b.Pickup.Seconds(), 'f', -1, 64),
		strconv.Itoa(executeConcurrency))
	cmd := exec.CommandContext(ctx, p.Command[0], args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", p.Name, err, strings.TrimSpace(stderr.String()))
	}
	m := &jobsMeasured{}
	if err := json.Unmarshal(out, m); err != nil {
		return nil, fmt.Errorf("read what %s measured: %w", p.Name, err)
	}
	return m, nil
}

// add reports one side.
func (m *jobsMeasured) add(r *Result, whose string) {
	r.add(whose+"planned", median(m.Planned), "deliveries/s", "written down")
	r.add(whose+"done", median(m.Done), "deliveries/s", "fetched, begun, done, written down")
	r.add(whose+"planned and done", median(m.Both), "deliveries/s", "both at the same time")
	r.addLatencies(whose+"pick-up", m.pickup(), "from its planning until it is begun")
}

func (m *jobsMeasured) pickup() []time.Duration {
	took := make([]time.Duration, len(m.Pickup))
	for i, ms := range m.Pickup {
		took[i] = time.Duration(ms * float64(time.Millisecond))
	}
	slices.Sort(took)
	return took
}

// compare reports how many times as fast we are, and how many times as long a delivery waits.
func (m *jobsMeasured) compare(with *jobsMeasured, r *Result, name string) {
	for _, ratio := range []struct {
		what         string
		ours, theirs float64
	}{
		{"planned", median(m.Planned), median(with.Planned)},
		{"done", median(m.Done), median(with.Done)},
		{"planned and done", median(m.Both), median(with.Both)},
		{"pick-up p50", quantile(m.pickup(), 0.5).Seconds(), quantile(with.pickup(), 0.5).Seconds()},
		{"pick-up p99", quantile(m.pickup(), 0.99).Seconds(), quantile(with.pickup(), 0.99).Seconds()},
	} {
		r.add(ratio.what+", to "+name, ratio.ours/ratio.theirs, "times", "")
	}
}
