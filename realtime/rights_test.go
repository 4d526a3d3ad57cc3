package realtime_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// directory holds grants by user, in place of the read models.
type directory struct {
	mu      sync.Mutex
	grants  map[string]realtime.Grants
	queries map[string]int
	at      map[string]domain.Position // the position of the last query
	err     error
}

func (d *directory) Grants(
	_ context.Context, school, user string, at domain.Position,
) (realtime.Grants, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.queries == nil {
		d.queries, d.at = map[string]int{}, map[string]domain.Position{}
	}
	d.queries[user]++
	d.at[user] = at
	if school != rt.School {
		return realtime.Grants{}, errors.New("query for another school")
	}
	return d.grants[user], d.err
}

func (d *directory) set(user string, g realtime.Grants) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.grants[user] = g
}

func school() *directory {
	return &directory{grants: map[string]realtime.Grants{
		"may": {Directory: access.Directory{Teaches: []string{"7a"}, Pupils: []string{"ann", "bob"}}},
		"mum": {Directory: access.Directory{Children: []string{"ann"}, Classes: []string{"7a"}}},
		"ann": {Directory: access.Directory{Children: []string{"ann"}, Classes: []string{"7a"}}},
	}}
}

var everyRoom = []string{
	"user:may", "user:mum", "user:ann", "role:teacher", "role:guardian", "role:student",
	"role:admin", "role:accountant", "school",
	"class:7a", "class:7b", "student:ann", "student:bob", "student:cid", "dashboard:fees",
}

// Every kind of room, for every role: whatever no rule allows is denied.
func TestP10_RoomsOfEachRole(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = school().Grants })
	for name, test := range map[string]struct {
		bearer realtime.Identity
		rooms  []string
	}{
		"teacher": {
			rt.User("may", "teacher"),
			[]string{
				"user:may", "role:teacher", "class:7a", "student:ann", "student:bob",
				"dashboard:fees",
			},
		},
		"guardian": {
			rt.User("mum", "guardian"),
			[]string{"user:mum", "role:guardian", "class:7a", "student:ann"},
		},
		"student": {
			rt.User("ann", "student"),
			[]string{"user:ann", "role:student", "class:7a", "student:ann"},
		},
		"accountant": {
			rt.User("joe", "accountant"),
			[]string{
				"role:accountant", "school", "student:ann", "student:bob", "student:cid",
				"dashboard:fees",
			},
		},
		"admin": {
			rt.User("boss", "admin"),
			[]string{
				"role:admin", "school", "class:7a", "class:7b", "student:ann", "student:bob",
				"student:cid", "dashboard:fees",
			},
		},
		"operator": {
			realtime.Identity{Subject: "op", School: "*", Roles: []string{"operator"}},
			[]string{
				"school", "class:7a", "class:7b", "student:ann", "student:bob", "student:cid",
				"dashboard:fees",
			},
		},
		// The one without the other is a mistake in an identity provider's mapping.
		"all schools without the role": {
			realtime.Identity{Subject: "op", School: "*", Roles: []string{"admin"}}, nil,
		},
		"operator of one school": {rt.User("may", "operator"), []string{"user:may"}},

		"no role":  {rt.User("may"), []string{"user:may"}},
		"odd role": {rt.User("may", "janitor"), []string{"user:may"}},
		// The directory grants nothing without the role in the token.
		"teacher as guardian": {rt.User("may", "guardian"), []string{"user:may", "role:guardian"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := rt.TryListen(t, n, test.bearer, realtime.Options{School: rt.School})
			if test.rooms == nil {
				require.ErrorIs(t, err, realtime.ErrDenied)
				return
			}
			require.NoError(t, err)
			var allowed []string
			for _, room := range everyRoom {
				parsed, err := domain.ParseRoom(room)
				require.NoError(t, err)
				if _, err := s.Join(t.Context(), parsed, nil); err == nil {
					allowed = append(allowed, room)
				} else {
					require.ErrorIs(t, err, realtime.ErrDenied)
				}
			}
			require.Equal(t, test.rooms, allowed)
		})
	}
}

func TestP10_NoOneReceivesAnotherSchool(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = school().Grants })
	rapid.Check(t, func(t *rapid.T) {
		identity := realtime.Identity{
			Subject: rapid.SampledFrom([]string{"", "may", "mum"}).Draw(t, "subject"),
			School: rapid.SampledFrom([]string{rt.School, "south", "", "gree", "*"}).Draw(t,
				"school"),
			Roles: rapid.SliceOf(rapid.SampledFrom([]string{
				"admin", "teacher", "operator",
				"guardian",
			})).Draw(t, "roles"),
		}
		wanted := rapid.SampledFrom([]string{rt.School, "south", "", "*"}).Draw(t, "wanted")
		s, err := n.Open(context.Background(), identity,
			realtime.Options{School: wanted, Wake: func(*realtime.Slot) {}})
		if err != nil {
			return
		}
		defer s.End()
		if identity.School != "*" && s.School() != identity.School || s.School() == "*" ||
			s.School() == "" || identity.Subject == "" {
			t.Fatalf("%v receives %q", identity, s.School())
		}
	})
}

func TestP10_FieldsThatARoomMustNotSeeAreNotSent(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = school().Grants })
	encoding := &realtime.Encoding{Append: func(dst []byte,
		d *realtime.Delivery,
	) []byte {
		return d.AppendJSON(dst)
	}}
	listen := func(identity realtime.Identity, rooms ...string) *rt.Reader {
		var opts realtime.Options
		for _, name := range rooms {
			room, err := domain.ParseRoom(name)
			require.NoError(t, err)
			opts.Rooms = append(opts.Rooms, room)
		}
		return rt.Listen(t, n, identity, opts)
	}
	readers := map[string]*rt.Reader{
		"office":     listen(rt.User("boss", "admin"), "school", "student:ann"),
		"accountant": listen(rt.User("joe", "accountant"), "school"),
		"teacher":    listen(rt.User("may", "teacher"), "class:7a", "student:ann"),
		"family":     listen(rt.User("mum", "guardian"), "student:ann", "class:7a"),
		"class":      listen(rt.User("mum", "guardian"), "class:7a"),
		"guardian":   listen(rt.User("mum", "guardian")),
	}
	for i, e := range []domain.Event{
		rt.Mark("ann", "7a", 1),
		&guardian.Linked{
			GuardianID: "mum", StudentID: "ann", Name: "Mum", Relation: "mother",
			Phone: "+49 30 1234", Email: "mum@example.org", Primary: true,
		},
		&fee.Invoiced{
			InvoiceID: "i", StudentID: "ann", Year: "2026", Term: "1", Category: "meals",
			Amount: 5, Currency: "EUR", DueOn: domain.NewDate(2026, 10, 1),
		},
	} {
		rt.Publish(t, n.Log, rt.School, strconv.Itoa(i), e)
	}
	last := rt.Publish(t, n.Log, rt.School, "end", rt.Notice("end", "7a"))
	const mark, linked, invoiced, notice = "marked", "linked", "invoiced", "posted"
	for name, want := range map[string]struct{ events, secrets []string }{
		"office": {
			[]string{mark, linked, invoiced, notice},
			[]string{"dentist", "+49 30 1234", "mum@example.org", "EUR"},
		},
		"accountant": {[]string{linked, invoiced}, []string{"EUR"}},
		"teacher":    {[]string{mark, linked, notice}, nil},
		// the link also comes through mum's own room
		"family": {
			[]string{mark, linked, invoiced, notice},
			[]string{"dentist", "+49 30 1234", "mum@example.org", "EUR"},
		},
		"class":    {[]string{linked, notice}, []string{"+49 30 1234", "mum@example.org"}},
		"guardian": {[]string{linked}, []string{"+49 30 1234", "mum@example.org"}},
	} {
		r := readers[name]
		r.Reaches(t, last)
		got, _ := r.Until(t,
			func(got []realtime.Delivery, _ error) bool { return len(got) >= len(want.events) })
		var events []string
		var all string
		for i := range got {
			_, fact, _, err := domain.SplitType(got[i].Event.Type)
			require.NoError(t, err)
			events = append(events, fact)
			all += string(got[i].Frame(encoding))
		}
		require.Equal(t, want.events, events, name)
		for _, secret := range []string{"dentist", "+49 30 1234", "mum@example.org", "EUR"} {
			if slices.Contains(want.secrets, secret) {
				require.Contains(t, all, secret, name)
			} else {
				require.NotContains(t, all, secret, name)
			}
		}
	}
}

func TestP10_WithdrawnRightsEndMembershipLive(t *testing.T) {
	t.Parallel()
	d := school()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = d.Grants })
	rooms := []domain.Room{class("7a"), {Kind: domain.RoomStudent, ID: "ann"}}
	teacher := rt.Listen(t, n, rt.User("may", "teacher"), realtime.Options{Rooms: rooms})
	mother := rt.Listen(t, n, rt.User("mum", "guardian"), realtime.Options{Rooms: rooms})
	left := func(r *rt.Reader, rooms ...string) {
		t.Helper()
		got, _ := r.Until(t, func(got []realtime.Delivery, _ error) bool {
			n := 0
			for _, d := range got {
				if d.Kind == realtime.KindLeft {
					n++
				}
			}
			return n >= len(rooms)
		})
		var names []string
		for _, d := range got {
			if d.Kind == realtime.KindLeft {
				names = append(names, d.Room.String())
			}
		}
		require.Equal(t, rooms, names)
	}

	// The teacher takes another class, and receives no more of the old one.
	d.set("may", realtime.Grants{Directory: access.Directory{Teaches: []string{"9c"}}})
	at := rt.Publish(t, n.Log, rt.School, "1",
		&staff.Assigned{StaffID: "may", Name: "May", Role: "teacher", ClassIDs: []string{"9c"}})
	left(teacher, "class:7a", "student:ann")
	d.mu.Lock()
	require.Equal(t, at, d.at["may"], "the directory must have reached the event")
	d.mu.Unlock()
	rt.Publish(t, n.Log, rt.School, "2", rt.Mark("ann", "7a", 1))

	// The child moves, and with her her mother's room.
	d.set("mum", realtime.Grants{Directory: access.Directory{Children: []string{"ann"}, Classes: []string{"7b"}}})
	rt.Publish(t, n.Log, rt.School, "3",
		&student.ClassChanged{StudentID: "ann", ClassID: "7b", On: domain.NewDate(2026, 9, 2)})
	left(mother, "class:7a")
	_, err := mother.Join(t.Context(), class("7b"), nil)
	require.NoError(t, err, "a new right is there at once")

	// If the directory cannot confirm a right, it is treated as withdrawn.
	d.mu.Lock()
	d.err = errors.New("the directory is away")
	d.mu.Unlock()
	rt.Publish(t, n.Log, rt.School, "4",
		&student.Withdrawn{StudentID: "ann", On: domain.NewDate(2026, 9, 3)})
	left(mother, "class:7a", "student:ann", "class:7b")
	got, _ := teacher.Until(t, func([]realtime.Delivery, error) bool { return true })
	for _, d := range got {
		require.False(t, d.Kind == realtime.KindEvent && d.Room.Kind != domain.RoomUser,
			"received after the right was withdrawn: %v", d)
	}
}

// Connections that reconnect at once cost one query per user.
func TestManyReconnectsQueryOncePerUser(t *testing.T) {
	t.Parallel()
	d := school()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = d.Grants })
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			rt.Listen(t, n, rt.User("may", "teacher"),
				realtime.Options{Rooms: []domain.Room{
					class("7a"),
					{Kind: domain.RoomStudent, ID: "ann"},
				}})
		})
	}
	all.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Equal(t, 1, d.queries["may"])
}

// Grants are cached for a while after a user has disconnected. Events that change them meanwhile
// invalidate them all the same, and so do events that the read models have not reached yet.
func TestP10_RightsWithdrawnWhileOfflineAreGone(t *testing.T) {
	t.Parallel()
	d := school()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = d.Grants })
	in7a := realtime.Options{Rooms: []domain.Room{class("7a")}}
	rt.Listen(t, n, rt.User("may", "teacher"), in7a).Stop()
	observer := rt.Listen(t, n, rt.User("boss", "admin"),
		realtime.Options{Rooms: []domain.Room{{Kind: domain.RoomSchool}}})

	d.set("may", realtime.Grants{Directory: access.Directory{Teaches: []string{"9c"}}})
	at := rt.Publish(t, n.Log, rt.School, "1",
		&staff.Assigned{StaffID: "may", Name: "May", Role: "teacher", ClassIDs: []string{"9c"}})
	observer.Reaches(t, at)
	_, err := rt.TryListen(t, n, rt.User("may", "teacher"), in7a)
	require.ErrorIs(t, err, realtime.ErrDenied)
	// not concerned by the event, and never connected
	_, err = rt.TryListen(t, n, rt.User("mum", "guardian"), in7a)
	require.NoError(t, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Equal(t, at, d.at["may"], "the directory must have reached the event")
	require.Equal(t, at, d.at["mum"])
}

func TestClassNamedTwiceIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	r := rt.Listen(t, n, rt.User("boss", "admin"),
		realtime.Options{Rooms: []domain.Room{class("7a")}, PerRoom: true})
	twice := rt.Notice("1", "7a").(*announcement.Posted)
	twice.Audience.ClassIDs = []string{"7a", "7a"}
	rt.Publish(t, n.Log, rt.School, "1", twice)
	last := rt.Publish(t, n.Log, rt.School, "2", rt.Notice("2", "7a"))
	require.Equal(t, []int64{last.Offset - 1, last.Offset}, r.Positions(t, last))
}
