package webpush_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/consumers/provider/providertest"
	"github.com/schoolbell/schoolbell/consumers/provider/webpush"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// setup starts a push service with browsers that have subscribed to it.
func setup(t *testing.T, c faulty.PushConfig,
	browsers int,
) (s *faulty.Push, list []*faulty.Browser, subscriptions []webpush.Subscription) {
	t.Helper()
	s = faulty.NewPush(c)
	t.Cleanup(s.Close)
	for range browsers {
		b, err := s.Subscribe()
		require.NoError(t, err)
		list = append(list, b)
		subscriptions = append(subscriptions, webpush.Subscription{
			Endpoint: b.Endpoint, Keys: webpush.Keys{P256dh: b.P256dh, Auth: b.Auth},
		})
	}
	return s, list, subscriptions
}

// sender is a provider and the devices that it knows.
type sender struct {
	*webpush.Provider
	store *webpush.Store
}

// newSender stores the devices as they are: those of a test are on this machine, which Add refuses.
func newSender(t *testing.T, devices []webpush.Subscription, allowPrivate bool) *sender {
	t.Helper()
	url := devtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	for _, d := range devices {
		_, err := conn.Exec(t.Context(), `
			INSERT INTO schoolbell.push_subscriptions (school, user_id, endpoint, p256dh, auth)
			VALUES ('oak', 'g1', $1, $2, $3)`, d.Endpoint, d.Keys.P256dh, d.Keys.Auth)
		require.NoError(t, err)
	}
	require.NoError(t, conn.Close(t.Context()))
	catalog, err := wording.Open()
	require.NoError(t, err)
	key, err := webpush.NewKey()
	require.NoError(t, err)
	store := webpush.NewStore(devtest.Pool(t, url, postgres.Jobs).Conns())
	p, err := webpush.New(webpush.Config{
		Key: key, Contact: "mailto:it@oak.example", Subscriptions: store,
		Timeout: 300 * time.Millisecond, AllowPrivate: allowPrivate,
		Writer: provider.Writer{Catalog: catalog},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return &sender{p, store}
}

func (s *sender) devices(t *testing.T) []webpush.Subscription {
	t.Helper()
	list, err := s.store.List(t.Context(), "oak", "g1")
	require.NoError(t, err)
	return list
}

func notice(id string) *consumers.Delivery {
	return &consumers.Delivery{
		ID: id, School: "oak", Recipient: "g1", Channel: consumers.Push, Language: "ar",
		Priority: consumers.Urgent, Template: wording.Absence,
		Params: wording.Params{
			Sender: "Oak", Student: "Ada King", Date: domain.NewDate(2026, 9, 1),
			Session: "day",
		}.Encode(),
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	s, _, devices := setup(t, faulty.PushConfig{}, 2)
	p := newSender(t, devices, true)
	limited := notice("0123456789abcdef0123456789abcdef")
	limited.NotAfter = time.Now().Add(time.Hour)
	r, err := p.Send(t.Context(), limited)
	require.NoError(t, err)
	require.Equal(t, consumers.Receipt{State: consumers.Sent, ProviderID: "2"}, r)
	require.Len(t, s.Notices(), 2, "on every device")
	got := s.Notices()[0]
	require.Equal(t, "0123456789abcdef0123456789abcdef", got.Topic)
	require.Equal(t, "high", got.Urgency)
	require.Equal(t, "mailto:it@oak.example", got.Contact)
	require.InDelta(t, 3600, got.TTL, 60)
	require.Zero(t, (got.Padded-86-16)%256, "its length reveals little")
	var shown map[string]string
	require.NoError(t, json.Unmarshal([]byte(got.Payload), &shown))
	require.Equal(t, "غياب: Ada King", shown["title"])
	require.Equal(t, "rtl", shown["dir"])
	require.Equal(t, limited.ID, shown["id"])
}

func TestDevicesThatAreGoneAreRemoved(t *testing.T) {
	t.Parallel()
	s, browsers, devices := setup(t, faulty.PushConfig{}, 2)
	p := newSender(t, devices, true)
	s.Unsubscribe(browsers[0])
	_, err := p.Send(t.Context(), notice("d1"))
	require.NoError(t, err)
	require.Len(t, p.devices(t), 1)
	s.Unsubscribe(browsers[1])
	_, err = p.Send(t.Context(), notice("d2"))
	require.Equal(t, consumers.Permanent, providertest.SendError(t, err).Class)
	require.Equal(t, "no_device", providertest.SendError(t, err).Code)
	require.Empty(t, p.devices(t))
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	for fault, class := range map[faulty.Fault]consumers.ErrorClass{
		faulty.Busy: consumers.Temporary, faulty.Broken: consumers.Unsure,
		faulty.SilentTaken: consumers.Unsure,
		faulty.HangupTaken: consumers.Unsure, faulty.Refuse: consumers.Permanent,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			_, _, devices := setup(t,
				faulty.PushConfig{Faults: faulty.Faults{fault: 1}, RetryAfter: 9 * time.Second}, 2)
			p := newSender(t, devices, true)
			_, err := p.Send(t.Context(), notice("d1"))
			e := providertest.SendError(t, err)
			require.Equal(t, class, e.Class)
			if fault == faulty.Busy {
				require.Equal(t, 9*time.Second, e.RetryAfter)
			}
			require.Len(t, p.devices(t), 2)
		})
	}
}

// Subscriptions come from users, who must not be able to direct requests at our own servers.
func TestEndpointsAreOnTheInternet(t *testing.T) {
	t.Parallel()
	s, _, devices := setup(t, faulty.PushConfig{}, 1)
	keys := devices[0].Keys
	for _, endpoint := range []string{
		"https://127.0.0.1:1/x", "https://10.1.2.3/x",
		"https://[::1]/x", "https://169.254.169.254/x", "https://[::ffff:192.168.1.1]/x",
		"https://100.64.0.1/x", "https://[64:ff9b::a00:1]/x", "https://198.18.0.1/x",
		"https://240.0.0.1/x", "https://[fec0::1]/x", "https://1.1.1.1:22/x",
	} {
		devices = []webpush.Subscription{{Endpoint: endpoint, Keys: keys}}
		_, err := newSender(t, devices, false).Send(t.Context(), notice("d1"))
		require.ErrorContains(t, err, "not on the internet", endpoint)
	}
	devices = []webpush.Subscription{{Endpoint: s.URL + "/push/1", Keys: keys}}
	_, err := newSender(t, devices, false).Send(t.Context(), notice("d1"))
	require.Equal(t, "no_device", providertest.SendError(t, err).Code,
		"an endpoint without TLS is refused")
	require.Zero(t, s.Requests())
}

func TestStore(t *testing.T) {
	t.Parallel()
	_, _, devices := setup(t, faulty.PushConfig{}, 12)
	url := devtest.Postgres(t)
	users, table := devtest.Pool(t, url, postgres.API),
		webpush.NewStore(devtest.Pool(t, url, postgres.Jobs).Conns())
	ctx := t.Context()
	add := func(school, user string, s webpush.Subscription) error {
		return users.AsUser(ctx, school, user,
			func(tx pgx.Tx) error { return webpush.Add(ctx, tx, school, user, s) })
	}
	remove := func(school, user, endpoint string) {
		require.NoError(t,
			users.AsUser(ctx, school, user,
				func(tx pgx.Tx) error { return webpush.Remove(ctx, tx, school, user, endpoint) }))
	}
	for i := range devices {
		devices[i].Endpoint = fmt.Sprintf("https://push.example/%d", i)
		require.NoError(t, add("oak", "g1", devices[i]))
	}
	require.NoError(t, add("oak", "g2", devices[0]))
	got, err := table.List(ctx, "oak", "g1")
	require.NoError(t, err)
	require.ElementsMatch(t, devices[2:], got, "the oldest are removed")
	renewed := devices[5]
	renewed.Keys.Auth = devices[6].Keys.Auth
	require.NoError(t, add("oak", "g1", renewed))
	require.NoError(t, table.Remove(ctx, "oak", "g1", devices[6].Endpoint))
	remove("oak", "g1", devices[7].Endpoint)
	remove("oak", "g2", devices[8].Endpoint)
	got, err = table.List(ctx, "oak", "g1")
	require.NoError(t, err)
	require.Len(t, got, 8)
	require.Contains(t, got, renewed)
	got, err = table.List(ctx, "elm", "g1")
	require.NoError(t, err)
	require.Empty(t, got)

	t.Run("P10", func(t *testing.T) {
		for _, other := range [][2]string{{"oak", "g2"}, {"elm", "g1"}, {"oak", ""}} {
			err := users.AsUser(ctx, other[0], other[1],
				func(tx pgx.Tx) error { return webpush.Add(ctx, tx, "oak", "g1", devices[0]) })
			require.ErrorContains(t, err, "row-level security",
				"a device of g1 at oak, added as %v", other)
		}
	})
}

func TestP9_EndpointsAreOnTheInternet(t *testing.T) {
	t.Parallel()
	_, _, devices := setup(t, faulty.PushConfig{}, 1)
	for _, bad := range []string{
		"", "ftp://push.example/1", "http://push.example/1", "https://", "https:///x",
		"https://user:password@push.example/1", "https://push.example/1#x",
		"https://localhost/1", "https://db/1", "https://x.localhost/1", "https://localhost./1",
		"https://127.0.0.1/1", "https://[::1]/1", "https://10.1.2.3/1",
		"https://169.254.169.254/latest", "https://192.168.0.1:8443/1", "https://100.64.0.1/1",
		"https://[fd00::1]/1", "https://[::ffff:10.0.0.1]/1",
		"https://[64:ff9b::7f00:1]/1", "https://[64:ff9b:1::a00:1]/1", "https://[::127.0.0.1]/1",
		"https://[fec0::1]/1", "https://[2002:7f00:1::1]/1", "https://[2001::1]/1",
		"https://[100::1]/1", "https://192.0.0.8/1", "https://198.18.0.1/1", "https://198.51.100.1/1",
		"https://203.0.113.1/1", "https://240.0.0.1/1", "https://0.0.0.0/1", "https://224.0.0.1/1",
		"https://push.example:22/1", "https://push.example:8443/1",
		"https://2130706433/1", "https://127.1/1", "https://0177.0.0.1/1", "https://0x7f.0x1/1",
		"https://push.0x/1", "https://１２７.0.0.1/1", "https://push.example/" + strings.Repeat("x", 1100),
	} {
		err := webpush.Add(t.Context(), nil, "oak", "g1",
			webpush.Subscription{Endpoint: bad, Keys: devices[0].Keys})
		var invalid *domain.InvalidError
		require.ErrorAs(t, err, &invalid, bad)
		require.Equal(t, "/endpoint", invalid.Faults[0].Pointer, bad)
	}
	var invalid *domain.InvalidError
	require.ErrorAs(t, webpush.Add(t.Context(), nil, "oak", "g1",
		webpush.Subscription{Endpoint: "ftp://x", Keys: webpush.Keys{P256dh: "?", Auth: ""}}),
		&invalid)
	require.Len(t, invalid.Faults, 2, "all faults at once")
}
