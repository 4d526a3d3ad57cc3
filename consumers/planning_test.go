package consumers_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
)

// noFacts is a snapshot that includes every event, and no facts.
var noFacts = &consumers.Snapshot{Next: func(int32) int64 { return 1 << 40 }, Close: func() {}}

func TestDependenciesOtherThanDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	event := &domain.Envelope{ID: "e1", Source: "test", School: "oak", Type: "x"}
	id := func(recipient string, c consumers.Channel) string {
		return consumers.DeliveryID(event, "rule", recipient, c, "")
	}
	paper := consumers.Delivery{Recipient: "st", Channel: consumers.PDF}
	for name, c := range map[string]struct {
		plan  []consumers.Delivery
		fault string
	}{
		"a document of the event": {[]consumers.Delivery{paper, {Recipient: "g", Channel: consumers.Email, DependsOn: id("st", consumers.PDF)}}, ""},
		"a document that is not there": {
			[]consumers.Delivery{{Recipient: "g", Channel: consumers.Email, DependsOn: id("st", consumers.PDF)}},
			`planner "rule": email to g depends on ` + id("st", consumers.PDF) + ", which is not of the same event",
		},
		"a text": {
			[]consumers.Delivery{{Recipient: "h", Channel: consumers.SMS}, {Recipient: "g", Channel: consumers.Email, DependsOn: id("h", consumers.SMS)}},
			`planner "rule": email to g depends on ` + id("h", consumers.SMS) + " by sms",
		},
		"a document that depends on one": {
			[]consumers.Delivery{paper, {Recipient: "st2", Channel: consumers.PDF, DependsOn: id("st", consumers.PDF)}},
			`planner "rule": pdf to st2 depends on ` + id("st", consumers.PDF) + " by pdf",
		},
	} {
		planners, err := consumers.NewPlanners(consumers.Planner{Name: "rule", Types: []string{"x"}, Plan: func(*domain.Envelope, consumers.Facts, *consumers.Settings) []consumers.Delivery {
			return c.plan
		}})
		require.NoError(t, err)
		plans, err := planners.PlanAll(t.Context(), []consumers.Event{{Envelope: event}}, []*consumers.Settings{{}}, noFacts)
		require.NoError(t, err)
		if c.fault == "" {
			require.NoError(t, plans[0].Fault, name)
			require.Len(t, plans[0].Deliveries, len(c.plan))
			continue
		}
		require.ErrorContains(t, plans[0].Fault, c.fault, name)
		require.ErrorContains(t, plans[0].Fault, "only on a document of the same event")
		require.Empty(t, plans[0].Deliveries, "all of it or nothing")
	}
}
