package budget_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/budget"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/consumers/provider/twilio"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// settings are equal for all schools.
type settings consumers.Settings

func (s *settings) At(context.Context, string, time.Time) (*consumers.Settings, error) {
	return (*consumers.Settings)(s), nil
}

type bundle struct {
	t       *testing.T
	service *faulty.SMS
	sms     consumers.Provider
	now     time.Time
}

func setup(t *testing.T, faults faulty.Faults) *bundle {
	t.Helper()
	return setupWith(t, faults, settings{Budget: 5, TimeZone: "America/Chicago"}, budget.Limits{})
}

func setupWith(
	t *testing.T, faults faulty.Faults, s settings, limits budget.Limits,
) *bundle {
	t.Helper()
	pool := devtest.Pool(t, devtest.Postgres(t), postgres.Jobs)
	catalog, err := wording.Open()
	require.NoError(t, err)
	b := &bundle{t: t, service: faulty.NewSMS(faulty.SMSConfig{
		Account: "AC1", Token: "t",
		Faults: faults,
	}), now: time.Date(2026, 10, 1, 3, 0, 0, 0, time.UTC)}
	t.Cleanup(b.service.Close)
	p, err := twilio.New(twilio.Config{
		URL: b.service.URL, Account: "AC1", Token: "t",
		From: "+1500", Timeout: 500 * time.Millisecond, Writer: provider.Writer{Catalog: catalog},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	b.sms = budget.Limit(p, pool.Conns(), &s, limits,
		func() time.Time { return b.now })
	return b
}

func text(id string) *consumers.Delivery {
	return &consumers.Delivery{
		ID: id, School: "oak", Channel: consumers.SMS, Address: "+15125550101", Language: "en",
		Template: wording.Announcement, Planner: "announcement",
		Priority: consumers.Bulk,
		Params:   wording.Params{Sender: "Oak", Title: "Soup", Body: "For lunch."}.Encode(),
	}
}

func (b *bundle) send(d *consumers.Delivery) string {
	b.t.Helper()
	_, err := b.sms.Send(b.t.Context(), d)
	if e, ok := errors.AsType[*consumers.SendError](err); ok {
		return e.Code
	}
	require.NoError(b.t, err)
	return ""
}

func TestABudgetIsNotExceeded(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	var sending sync.WaitGroup
	var mu sync.Mutex
	codes := map[string]int{}
	for i := range 20 {
		sending.Go(func() {
			code := b.send(text(fmt.Sprint("d", i)))
			mu.Lock()
			codes[code]++
			mu.Unlock()
		})
	}
	sending.Wait()
	require.Equal(t, map[string]int{"": 5, "budget": 15}, codes)
	require.Len(t, b.service.Messages(), 5)

	elsewhere := text("elm")
	elsewhere.School = "elm"
	require.Empty(t, b.send(elsewhere), "every school has its own budget")
	urgent := text("urgent")
	urgent.Priority = consumers.Urgent
	require.Empty(t, b.send(urgent), "what the school calls urgent is sent")

	b.now = time.Date(2026, 10, 1, 4, 59, 0, 0, time.UTC)
	require.Equal(t, "budget", b.send(text("late")), "it is still September there")
	b.now = time.Date(2026, 10, 1, 5, 0, 0, 0, time.UTC)
	require.Empty(t, b.send(text("next")), "a new month")

	_, ok := b.sms.(consumers.StatusProvider)
	require.True(t, ok, "the provider's abilities stay visible")
}

func TestADeliveryIsCountedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for range 9 {
		require.Empty(t, b.send(text("d1")), "however often it is tried")
	}
	refused := setup(t, faulty.Faults{faulty.Refuse: 1})
	for i := range 9 {
		require.Equal(t, "21211", refused.send(text(fmt.Sprint("d", i))),
			"what was not sent costs nothing")
	}
	unknown := setup(t, faulty.Faults{faulty.Broken: 1})
	for i := range 5 {
		require.Equal(t, "20500", unknown.send(text(fmt.Sprint("d", i))))
	}
	require.Equal(t, "budget", unknown.send(text("d6")), "what may have been sent is counted")
}

// Whoever gets hold of a school's token must not be able to spend without end.
func TestADayHasLimitsThatAlsoHoldForUrgentMessages(t *testing.T) {
	t.Parallel()
	b := setupWith(t, nil, settings{TimeZone: "America/Chicago"},
		budget.Limits{PerSchool: 6, PerNumber: 2})
	to := func(id, number string) string {
		d := text(id)
		d.Address, d.Priority = number, consumers.Urgent
		return b.send(d)
	}
	require.Empty(t, to("a1", "+15125550101"))
	require.Empty(t, to("a2", "+15125550101"))
	require.Empty(t, to("a2", "+15125550101"), "it is counted once")
	require.Equal(t, "number_day", to("a3", "+15125550101"))
	for i := range 4 {
		require.Empty(t, to(fmt.Sprint("b", i), fmt.Sprint("+1512555020", i)))
	}
	require.Equal(t, "school_day", to("c", "+15125550301"))
	elsewhere := text("d")
	elsewhere.School = "elm"
	require.Empty(t, b.send(elsewhere))
	b.now = b.now.Add(24 * time.Hour)
	require.Empty(t, to("a3", "+15125550101"), "a new day")

	refused := setupWith(t, faulty.Faults{faulty.Refuse: 1}, settings{},
		budget.Limits{PerSchool: 2, PerNumber: 2})
	for i := range 5 {
		require.Equal(t, "21211", refused.send(text(fmt.Sprint("d", i))),
			"what was not sent counts for nothing")
	}
}

func TestNumbersThatGetNoMessages(t *testing.T) {
	t.Parallel()
	german := settings{Phone: consumers.PhoneRules{Country: "49"}}
	defaults := budget.Limits{NoPremium: true}
	border := budget.Limits{NoPremium: true, Countries: []string{"33"}}
	for _, test := range []struct {
		number   string
		settings settings
		limits   budget.Limits
		sent     bool
	}{
		{"+4915112345678", german, defaults, true},
		{"+33612345678", german, defaults, false},
		{"+33612345678", german, border, true},
		{"+33612345678", german, budget.Limits{AnyCountry: true}, true},
		{"+33612345678", settings{}, defaults, true}, // the school has set no country
		{"+4915112345678", settings{}, border, false},
		{"+19005551234", settings{Phone: consumers.PhoneRules{Country: "1"}}, defaults, false},
		{"+499001234567", german, defaults, false},
		{"+882161234567", settings{}, defaults, false},
		{"+870773111632", settings{}, defaults, false},
		{"+882161234567", settings{}, budget.Limits{}, true},
	} {
		b := setupWith(t, nil, test.settings, test.limits)
		d := text("d")
		d.Address = test.number
		code := b.send(d)
		require.Equal(t, test.sent, code == "", "%s from %v: %s", test.number, test.settings.Phone,
			code)
		if !test.sent {
			require.Equal(t, "number", code)
		}
	}
}
