package access_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
)

func bearer(roles ...string) *access.Bearer {
	return &access.Bearer{Subject: "me", School: "oak", Roles: roles}
}

var family = access.Directory{
	Teaches: []string{"7A"}, Pupils: []string{"ann", "bob"}, Children: []string{"cid"},
	Classes: []string{"8B"}, Away: []string{"dan"},
}

func names(s access.Scope, student string) []string { return s.Of(student).Names() }

func TestP10_WhatEachRoleSees(t *testing.T) {
	t.Parallel()
	everything := access.Everything()
	all := names(everything, "x")
	require.Len(t, all, 10)
	without := func(fields ...string) []string {
		return slices.DeleteFunc(slices.Clone(all),
			func(f string) bool { return slices.Contains(fields, f) })
	}
	teacher := without("identifiers", "reasons", "fees")
	own := without("contacts", "siblings", "drafts")
	none := []string{}
	for role, want := range map[string]struct{ pupil, child, away, other []string }{
		"admin":      {all, all, all, all},
		"office":     {without("marks", "drafts"), without("marks", "drafts"), without("marks", "drafts"), without("marks", "drafts")},
		"teacher":    {teacher, none, none, none},
		"accountant": {[]string{"names", "fees"}, []string{"names", "fees"}, []string{"names", "fees"}, []string{"names", "fees"}},
		"guardian":   {none, own, own, none},
		"student":    {none, none, none, none}, // none of them is oneself
		"operator":   {none, none, none, none}, // the role at one school is a mistake
		"janitor":    {none, none, none, none},
	} {
		s := access.For(bearer(role), &family, access.Policy{})
		require.Equal(t, want.pupil, names(s, "ann"), role)
		require.Equal(t, want.child, names(s, "cid"), role)
		require.Equal(t, want.away, names(s, "dan"), role)
		require.Equal(t, want.other, names(s, "eve"), role)
	}
	wide := access.For(bearer("teacher"), &family, access.Policy{TeachersSeeAll: true})
	require.Equal(t, teacher, names(wide, "eve"))
	for _, b := range []access.Bearer{
		{Subject: "me", School: "*", Roles: []string{"admin", "guardian", "teacher"}},
		{Subject: "me", School: "*"},
	} {
		s := access.For(&b, &family, access.Policy{})
		require.Zero(t, s.All)
		require.Zero(t, s.Of("cid"))
		require.Zero(t, s.Of("ann"))
	}
	operator := access.For(&access.Bearer{School: "*", Roles: []string{"operator"}}, nil, access.Policy{})
	require.Equal(t, all, names(operator, "eve"))
}

// A guardian whose id is a student's too is not that student.
func TestP10_NobodyIsAnotherByTheirID(t *testing.T) {
	t.Parallel()
	d := access.Directory{Children: []string{"cid", "me"}, Classes: []string{"8B"}}
	guardian := access.For(bearer("guardian"), &d, access.Policy{})
	require.Zero(t, guardian.Of("me"))
	require.NotZero(t, guardian.Of("cid"))
	student := access.For(bearer("student"), &d, access.Policy{})
	require.NotZero(t, student.Of("me"))
	require.Zero(t, student.Of("cid"))
}

func TestChildrenWhoDoNotAttendHaveNoRooms(t *testing.T) {
	t.Parallel()
	s := access.For(bearer("guardian"), &family, access.Policy{})
	room := func(id string) domain.Room { return domain.Room{Kind: domain.RoomStudent, ID: id} }
	require.Zero(t, s.AudiencesInRoom(room("dan")))
	require.Zero(t, s.OfAttending("dan"))
	require.Equal(t, domain.Of(domain.Family), s.AudiencesInRoom(room("cid")))
	require.Equal(t, domain.Of(domain.Family), s.Audiences("dan"))
}

// For any bearer: the list for a statement is of those who are visible one by one; a scope without
// more roles shows no more; and scopes with equal keys show the same of everybody.
func TestP10_AScopeIsTheSameFromEverySide(t *testing.T) {
	t.Parallel()
	ids := []string{"ann", "bob", "cid", "dan", "eve", "me"}
	some := func(t *rapid.T, label string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(ids), 0, 4).Draw(t, label)
	}
	scope := func(t *rapid.T) (access.Scope, *access.Bearer, *access.Directory) {
		b := bearer(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"admin", "office", "teacher", "accountant", "guardian", "student",
		}), 0, 3, rapid.ID).Draw(t, "roles")...)
		d := &access.Directory{
			Teaches: []string{"7A"}, Pupils: some(t, "pupils"), Children: some(t, "children"),
			Away: some(t, "away"),
		}
		return access.For(b, d, access.Policy{}), b, d
	}
	rapid.Check(t, func(t *rapid.T) {
		s, b, d := scope(t)
		fields := access.Fields(rapid.IntRange(1, 1<<10-1).Draw(t, "fields"))
		list := s.Among(fields)
		for _, id := range ids {
			require.Equal(t, s.Of(id).Has(fields), list == nil || slices.Contains(list, id), id)
			for i := range b.Roles {
				fewer := *b
				fewer.Roles = b.Roles[:i]
				less := access.For(&fewer, d, access.Policy{})
				require.True(t, s.Of(id).Has(less.Of(id)))
			}
		}
		other, _, _ := scope(t)
		other.Pupils = s.Pupils // they follow from the classes
		if s.Key() == other.Key() {
			for _, id := range ids {
				require.Equal(t, s.Of(id), other.Of(id), id)
			}
		}
	})
}
