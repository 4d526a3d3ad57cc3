package plan_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/verify"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/internal/golden"
	"github.com/schoolbell/schoolbell/projections/projtest"
)

// Each file of testdata is a scenario:
//
//	settings         the school's settings from here on, as JSON
//	given            events of the past
//	still now=…      what becomes of the deliveries of the last when that led to any, when they are sent now
//	when [now=…]     new events, each followed by the deliveries planned for it. Now is when they are appended to the log;
//	                 without it, the time of the event
//
// Events are written as in the scenarios of read models; the audience of an announcement as
// to=class:7A,role:teacher,student:ada.
func TestScenarios(t *testing.T) {
	t.Parallel()
	catalog, err := wording.Open()
	require.NoError(t, err)
	golden.Walk(t, "testdata", func(t *testing.T, path string) {
		s := newScenario(t, &consumers.Settings{})
		s.catalog = catalog
		golden.Run(t, path, s.run)
	})
}

type scenario struct {
	planners *consumers.Planners
	history  *verify.History
	catalog  *wording.Catalog
	settings *consumers.Settings
	offset   int64
	planned  []consumers.Delivery
}

func newScenario(t *testing.T, settings *consumers.Settings) *scenario {
	planners, err := consumers.NewPlanners(plan.Planners()...)
	require.NoError(t, err)
	return &scenario{planners: planners, history: verify.NewHistory(), settings: settings}
}

func (s *scenario) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "settings":
		s.settings = &consumers.Settings{}
		require.NoError(t,
			json.Unmarshal([]byte(d.Input), s.settings, json.RejectUnknownMembers(true)))
		return ""
	case "given":
		s.events(t, d.Input, func(*domain.Envelope) {})
		return ""
	case "when":
		var out strings.Builder
		var all []consumers.Delivery
		s.events(t, d.Input, func(e *domain.Envelope) {
			now := e.Time
			if d.HasArg("now") {
				var text string
				d.ScanArgs(t, "now", &text)
				var err error
				now, err = time.Parse(time.RFC3339, text)
				require.NoError(t, err)
			}
			for _, planned := range s.plan(t, e, now) {
				all = append(all, planned)
				s.print(t, &out, planned)
			}
		})
		if out.Len() == 0 {
			return "nothing\n"
		}
		s.planned = all
		return out.String()
	case "still":
		var now string
		d.ScanArgs(t, "now", &now)
		return s.still(t, now)
	}
	d.Fatalf(t, "command is none of settings, given, when and still")
	return ""
}

func (s *scenario) events(t *testing.T, input string, then func(*domain.Envelope)) {
	for line := range strings.Lines(input) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		to := ""
		if strings.HasPrefix(line, "announcement.") {
			line, to, _ = strings.Cut(line, " to=")
		}
		days, err := projtest.EachDay(line)
		require.NoError(t, err)
		for _, one := range days {
			e, err := projtest.ParseEvent(one)
			require.NoError(t, err)
			if notice, ok := e.Data.(*announcement.Posted); ok {
				notice.Audience = audience(to)
			}
			s.offset++
			e.Position.Offset, e.ID, e.Source = s.offset, fmt.Sprintf("e%d", s.offset), "test"
			s.history.Add(e)
			then(e)
		}
	}
}

func audience(to string) announcement.Audience {
	var a announcement.Audience
	for word := range strings.SplitSeq(to, ",") {
		kind, id, _ := strings.Cut(word, ":")
		switch kind {
		case "role":
			a.Roles = append(a.Roles, id)
		case "class":
			a.ClassIDs = append(a.ClassIDs, id)
		case "student":
			a.StudentIDs = append(a.StudentIDs, id)
		}
	}
	return a
}

func (s *scenario) plan(t *testing.T, e *domain.Envelope, now time.Time) []consumers.Delivery {
	plans, err := s.planners.PlanAll(t.Context(), []consumers.Event{{Envelope: e, AppendedAt: now}},
		[]*consumers.Settings{s.settings}, s.history.Snapshot())
	require.NoError(t, err)
	require.NoError(t, plans[0].Fault)
	return plans[0].Deliveries
}

// settingsOf has the settings of a scenario at any time.
type settingsOf struct{ *consumers.Settings }

func (s settingsOf) At(context.Context, string, time.Time) (*consumers.Settings, error) {
	return s.Settings, nil
}

func (s *scenario) still(t *testing.T, now string) string {
	at, err := time.Parse(time.RFC3339, now)
	require.NoError(t, err)
	checker := consumers.Checker{
		Planners: s.planners, Settings: settingsOf{s.settings}, Now: func() time.Time { return at },
		Facts: func(context.Context) (*consumers.Snapshot, error) { return s.history.Snapshot(), nil },
	}
	all := make([]*consumers.Delivery, len(s.planned))
	for i, d := range s.planned {
		if all[i] = &d; d.Retracts { // as if it went to whom the ledger knows that they were told
			all[i].Recipient, all[i].Channel, all[i].Address = "g8", consumers.SMS, "+15125550108"
		}
	}
	verdicts, err := checker.Check(t.Context(), all)
	require.NoError(t, err)
	var out strings.Builder
	for i, v := range verdicts {
		require.NoError(t, v.Fault)
		if v.Overtaken != "" {
			fmt.Fprintf(&out, "%s: overtaken: %s\n", all[i].Planner, v.Overtaken)
			continue
		}
		now := *all[i]
		now.Address, now.Params = v.Address, v.Params
		s.print(t, &out, now)
	}
	return out.String()
}

func (s *scenario) print(t *testing.T, out *strings.Builder, d consumers.Delivery) {
	if d.Recipient == "" {
		fmt.Fprintf(out, "%s: to whoever was told", d.Planner)
	} else {
		fmt.Fprintf(out, "%s: %s to %s", d.Planner, d.Channel, d.Recipient)
	}
	for _, detail := range []struct{ name, value string }{
		{"at", d.Address},
		{"about", d.About},
		{"once", d.Once},
		{"from", d.Sender},
		{"after", stamp(d.NotBefore)},
		{"until", stamp(d.NotAfter)},
	} {
		if detail.value != "" {
			fmt.Fprintf(out, " %s=%s", detail.name, detail.value)
		}
	}
	if d.DependsOn != "" {
		fmt.Fprintf(out, " waits")
	}
	fmt.Fprintf(out, " priority=%d\n", d.Priority)
	for _, way := range d.Otherwise {
		fmt.Fprintf(out, "  otherwise %s to %s at=%s\n", way.Channel, way.Recipient, way.Address)
	}
	if d.Unreachable != "" {
		fmt.Fprintf(out, "  not sent: %s\n", d.Unreachable)
		return
	}
	if d.Channel == consumers.PDF {
		params := d.Params
		require.NoError(t, params.Canonicalize())
		require.NoError(t, params.Format(
			jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true)))
		fmt.Fprintf(out, "  %s in %s: %s\n", d.Template, d.Language, params)
		return
	}
	facts, err := wording.DecodeParams(d.Params)
	require.NoError(t, err)
	m, err := s.catalog.Render(d.Template, d.Language, facts)
	require.NoError(t, err)
	fmt.Fprintf(out, "  %s\n", m.Text)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

func TestPlannerNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range plan.Planners() {
		require.False(t, seen[p.Name], p.Name)
		require.NotEmpty(t, p.Types)
		seen[p.Name] = true
	}
}
