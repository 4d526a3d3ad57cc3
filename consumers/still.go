package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
)

// Still says what has become of a delivery that was planned some time ago, when it is about to be
// sent. It must be pure, as a [Plan]; the facts are those of now, and so are the settings.
type Still func(d *Delivery, facts Facts, settings *Settings) Verdict

// Verdict is what has become of a delivery by the time it is to be sent.
type Verdict struct {
	Overtaken string // why it is not sent: it is not true any more; empty when it is
	// Unreachable: that is because nobody can be reached, which somebody must know.
	Unreachable bool
	Otherwise   []Route        // whom to reach in its place
	Address     string         // where it goes by now
	Params      jsontext.Value // what it says by now
	Fault       error          // why nothing can be said about it
	FactsAt     int64          // the offset of the last event of its partition that the facts include
}

// stillTrue is the verdict of a rule that has nothing to say: the delivery is as it was planned.
func stillTrue(d *Delivery) Verdict { return Verdict{Address: d.Address, Params: d.Params} }

// Checker decides whether deliveries are still true.
type Checker struct {
	Planners *Planners
	Facts    func(context.Context) (*Snapshot, error)
	Settings SettingsSource
	// Reach returns when the tables have what the log has by now, in some of its partitions, or
	// after a while: what has been corrected before a message is sent is to count (optional).
	Reach func(ctx context.Context, partitions []int32)
	Now   func() time.Time // (time.Now)
}

// ErrRule means that a rule cannot judge a delivery, and would not be able to later.
var ErrRule = errors.New("the rule cannot judge it")

// Check returns a verdict for each delivery, in their order.
func (c *Checker) Check(ctx context.Context, all []*Delivery) ([]Verdict, error) {
	if c.Reach != nil {
		c.Reach(ctx, partitionsOf(all))
	}
	snapshot, err := c.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	defer snapshot.Close()
	now := time.Now()
	if c.Now != nil {
		now = c.Now()
	}
	verdicts, cache := make([]Verdict, len(all)), newFactCache(&snapshot.Lookups)
	var settings []*Settings
	for _, d := range all {
		s, err := c.Settings.At(ctx, d.School, now)
		if err != nil {
			return nil, fmt.Errorf("read settings of school %q: %w", d.School, err)
		}
		settings = append(settings, s)
	}
	err = cache.complete(ctx, len(all), func(i int) bool {
		d := all[i]
		next := snapshot.Next(d.Position.Partition)
		if d.Position.Offset >= next {
			verdicts[i] = Verdict{Fault: errBehind}
			return true
		}
		var complete bool
		verdicts[i], complete = c.Planners.judge(d, settings[i], cache, now)
		verdicts[i].FactsAt = next - 1
		return complete
	})
	if err != nil {
		return nil, fmt.Errorf("check %d deliveries: %w", len(all), err)
	}
	return verdicts, nil
}

// judge returns the verdict of a delivery's rule, and whether all facts were there. A delivery of a
// rule that there is no more is as it was planned.
func (p *Planners) judge(
	d *Delivery, settings *Settings, cache *factCache, now time.Time,
) (verdict Verdict, complete bool) {
	still := p.still[d.Planner]
	if still == nil {
		return stillTrue(d), true
	}
	v := &view{
		factCache: cache, school: d.School, now: now,
		today: domain.DateOf(now.In(settings.Location())),
	}
	defer func() {
		complete = !v.missed
		if cause := recover(); cause != nil && complete {
			verdict = Verdict{Fault: fmt.Errorf("%w: %w: %v", ErrRule, errPanicked, cause)}
		}
	}()
	return still(d, Facts{v}, settings), true
}

func partitionsOf(all []*Delivery) (partitions []int32) {
	seen := map[int32]bool{}
	for _, d := range all {
		if p := d.Position.Partition; !seen[p] {
			seen[p], partitions = true, append(partitions, p)
		}
	}
	return partitions
}
