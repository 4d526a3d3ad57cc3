package auth_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/internal/auth"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	need := auth.Need{Roles: []string{"admin", "teacher"}, Scope: "events:read"}
	own := auth.Need{Roles: []string{"admin"}, Own: true}
	operator := auth.Principal{School: "*", Roles: []string{"operator"}}
	for _, test := range []struct {
		name   string
		bearer auth.Principal
		school string
		need   auth.Need
		want   auth.Access
	}{
		{
			"a role",
			auth.Principal{School: "north", Roles: []string{"teacher"}},
			"north", need,
			auth.Full,
		},
		{
			"a scope",
			auth.Principal{School: "north", Scopes: []string{"events:read"}},
			"north", need,
			auth.Full,
		},
		{
			"neither",
			auth.Principal{School: "north", Roles: []string{"accountant"}},
			"north", need,
			auth.None,
		},
		{
			"another school",
			auth.Principal{School: "south", Roles: []string{"admin"}},
			"north", need,
			auth.None,
		},
		{"an operator", operator, "north", need, auth.Full},
		{"no school", operator, "", need, auth.None},
		{"all schools at once", operator, "*", need, auth.None},
		{
			"all schools without the role",
			auth.Principal{School: "*", Roles: []string{"admin"}, Scopes: []string{"events:read"}},
			"north", need, auth.None,
		},
		{
			"the role without all schools",
			auth.Principal{School: "north", Roles: []string{"operator"}},
			"north", need, auth.None,
		},
		{"nobody", auth.Principal{}, "north", need, auth.None},
		{"nobody at no school", auth.Principal{}, "", auth.Need{}, auth.None},
		{
			"a guardian about their own",
			auth.Principal{School: "north", Roles: []string{"guardian"}},
			"north", own, auth.Own,
		},
		{
			"a guardian otherwise",
			auth.Principal{School: "north", Roles: []string{"guardian"}},
			"north", need, auth.None,
		},
		{
			"anybody at the school about themselves",
			auth.Principal{School: "north", Roles: []string{"accountant"}},
			"north",
			auth.Need{Roles: []string{"admin"}, Self: true},
			auth.Own,
		},
		{
			"a scope about themselves",
			auth.Principal{School: "north", Scopes: []string{"events:write"}},
			"north",
			auth.Need{Roles: []string{"admin"}, Self: true},
			auth.None,
		},
		{
			"somebody of another school about themselves",
			auth.Principal{School: "south", Roles: []string{"teacher"}},
			"north",
			auth.Need{Roles: []string{"admin"}, Self: true},
			auth.None,
		},
		{
			"a scope of a part", auth.Principal{
				School: "north", Scopes: []string{"events:write:attendance"},
			}, "north", auth.Need{Scope: "events:write", Parts: true}, auth.Part,
		},
		{
			"a scope of a part and the whole", auth.Principal{
				School: "north", Scopes: []string{"events:write:fee", "events:write"},
			}, "north", auth.Need{Scope: "events:write", Parts: true}, auth.Full,
		},
		{
			"a scope of a part where all is needed", auth.Principal{
				School: "north", Scopes: []string{"events:write:attendance"},
			}, "north", auth.Need{Scope: "events:write"}, auth.None,
		},
		{
			"a scope of no part", auth.Principal{
				School: "north", Scopes: []string{"events:write:", "events:writer:fee"},
			}, "north", auth.Need{Scope: "events:write", Parts: true}, auth.None,
		},
		{
			"an empty scope is none",
			auth.Principal{School: "north", Scopes: []string{""}},
			"north",
			own, auth.None,
		},
	} {
		got, err := auth.Authorize(test.bearer, test.school, test.need)
		require.Equal(t, test.want, got, test.name)
		require.Equal(t, test.want == auth.None, err != nil, test.name)
	}
}

func TestP10_ThePlatformIsForItsOperators(t *testing.T) {
	t.Parallel()
	require.NoError(t, auth.AuthorizePlatform(
		auth.Principal{School: "*", Roles: []string{"operator"}}))
	for _, p := range []auth.Principal{
		{},
		{School: "*"},
		{School: "*", Roles: []string{"guardian"}},
		{School: "north", Roles: []string{"operator", "admin"}},
		{Roles: []string{"operator"}},
	} {
		require.ErrorIs(t, auth.AuthorizePlatform(p), auth.ErrDenied)
	}
}

func TestP10_NoBearerReachesAnotherSchool(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		schools := rapid.SampledFrom([]string{"north", "south", "east", "", "nort", "north "})
		roles := rapid.SliceOf(rapid.SampledFrom([]string{
			"admin", "teacher", "operator",
			"guardian", "student", "",
		}))
		p := auth.Principal{
			School: schools.Draw(t, "bearer's school"), Roles: roles.Draw(t, "roles"),
			Scopes: rapid.SliceOf(rapid.SampledFrom([]string{"events:read", ""})).Draw(t, "scopes"),
		}
		school := schools.Draw(t, "school")
		need := auth.Need{
			Roles: roles.Draw(t, "need"),
			Scope: rapid.SampledFrom([]string{"", "events:read"}).Draw(t, "scope"),
			Own:   rapid.Bool().Draw(t, "own"),
		}
		if access, err := auth.Authorize(p, school, need); school != p.School || school == "" {
			require.Equal(t, auth.None, access)
			require.ErrorIs(t, err, auth.ErrDenied)
		}
	})
}
