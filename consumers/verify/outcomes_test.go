package verify

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/delivery"
)

func TestTheLedgerIsComparedWithWhatTheLogSaysOfIt(t *testing.T) {
	t.Parallel()
	said := newAnnounced()
	for i, data := range []domain.Event{
		&delivery.Planned{Deliveries: []string{
			"right", "past", "lost", "missing", "waits", "undone",
			"twice", "failed",
		}},
		&delivery.Sent{DeliveryID: "right", Provider: "p", ProviderID: "1"},
		&delivery.Delivered{DeliveryID: "right", Provider: "p", ProviderID: "1"},
		&delivery.Sent{DeliveryID: "undone", Provider: "p", ProviderID: "2"},
		&delivery.Failed{DeliveryID: "failed", Provider: "p", Error: "no"}, // and was retried
		&delivery.Sent{DeliveryID: "twice", Provider: "p", ProviderID: "3"},
		&delivery.Sent{DeliveryID: "twice", Provider: "p", ProviderID: "4"},
	} {
		said.add(&domain.Envelope{School: "oak", Position: domain.Position{Offset: int64(10 + i)}, Data: data})
	}
	stored := &consumers.LedgerPartition{
		Deliveries: map[string]consumers.Delivery{}, Past: map[string]bool{"past": true},
		Pending: map[string]bool{"pending": true},
		States: map[string]consumers.State{
			"right": consumers.Delivered, "waits": consumers.Planned, "undone": consumers.Unknown,
			"twice": consumers.Sent, "failed": consumers.Sending, "pending": consumers.Planned,
			"unlisted": consumers.Sent, "older": consumers.Sent,
		},
	}
	for id := range stored.States {
		d := consumers.Delivery{ID: id, School: "oak", Position: domain.Position{Offset: 20}}
		if id == "older" { // than any such event in the log
			d.Position.Offset = 5
		}
		stored.Deliveries[id] = d
	}
	p := &partition{
		Verification: &Verification{}, stored: stored, said: said,
		expected: map[string][]consumers.Delivery{"missing": nil}, // by a plan
	}
	said.compare(p)
	found := map[string]string{}
	for _, f := range p.result.Findings {
		found[f.ID] = f.Kind
	}
	require.Equal(t, map[string]string{
		"lost": "lost", "undone": "undone", "twice": "twice", "unlisted": "unlisted",
	}, found)
}
