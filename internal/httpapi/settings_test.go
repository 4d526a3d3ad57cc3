package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

const settingsPath = "/v1/schools/north/settings"

func TestSettingsAreReplacedByVersion(t *testing.T) {
	t.Parallel()
	s := full(t)
	ada, ben := token(t, "north", "ada", "admin"), token(t, "north", "ben", "admin")
	put := func(bearer, tag, body string) response {
		return s.do(http.MethodPut, settingsPath, bearer, body, "Content-Type", "application/json",
			"If-Match", tag)
	}
	empty := s.get(settingsPath, ada)
	require.Equal(t, `"0"`, empty.Header.Get("ETag"))
	require.JSONEq(t, `{}`, string(empty.body))

	written := `{"name":"North","quiet":{"from":"20:30","to":"07:00"},"rules":{"absence":{"max_age":-1}}}`
	first := put(ada, empty.Header.Get("ETag"), written)
	require.Equal(t, http.StatusOK, first.StatusCode, string(first.body))
	require.JSONEq(t, written, string(first.body))
	require.Equal(t, `"1"`, first.Header.Get("ETag"))
	require.JSONEq(t, written, string(s.get(settingsPath, ben).body))

	late := put(ben, `"0"`, `{"name":"South"}`)
	require.Equal(t, http.StatusPreconditionFailed, late.problem(t).Status)
	require.Equal(t, http.StatusPreconditionFailed, put(ben, `"x"`, `{}`).StatusCode)
	require.Equal(t, http.StatusPreconditionRequired,
		s.do(http.MethodPut, settingsPath, ben, `{}`, "Content-Type",
			"application/json").problem(t).Status)
	require.Equal(t, `"2"`, put(ben, `W/"1"`, `{"name":"The North"}`).Header.Get("ETag"),
		"a proxy may weaken a tag")

	versions := decoded[httpapi.SettingsVersions](t, s.get(settingsPath+"/versions", ada)).Versions
	require.Len(t, versions, 2)
	require.Equal(t, "ben", versions[0].By)
	require.Equal(t, "The North", versions[0].Settings.Name)
	require.Equal(t, "ada", versions[1].By)
	require.Equal(t, consumers.Clock(20*60+30), versions[1].Settings.Quiet.From)
	require.JSONEq(t, `{}`, string(s.get("/v1/schools/south/settings",
		token(t, "south", "cy", "admin")).body), "each school has its own")
}

func TestP9_InvalidSettingsAreRefusedWithAllReasons(t *testing.T) {
	t.Parallel()
	s := full(t)
	admin := token(t, "north", "ada", "admin")
	for body, want := range map[string][]string{
		`{"time_zone":"Mars","currency":"€","rules":{"absense":{}}}`: {
			"/time_zone",
			"/currency", "/rules/absense",
		},
		`{"nam":"x","sms_budget":"many","rules":{"absence":{"of":true,"off":"no"}}}`: {
			"/nam",
			"/sms_budget", "/rules/absence/of", "/rules/absence/off",
		},
		`{"rules":{"absence":{"channels":["sms",5]}}}`: {"/rules/absence/channels/1"},
		`{"quiet":{"from":"8pm"}}`:                     {"/quiet/from"},
		`{"name":"a","name":"b"}`:                      {""},
		`{"name":`:                                     {""},
		`[]`:                                           {""},
	} {
		r := s.do(http.MethodPut, settingsPath, admin, body, "Content-Type", "application/json",
			"If-Match", `"0"`)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity},
			r.StatusCode, body)
		var got []string
		for _, e := range r.problem(t).Errors {
			require.NotNil(t, e.Pointer, body)
			got = append(got, *e.Pointer)
		}
		require.ElementsMatch(t, want, got, "%s: %s", body, r.body)
	}
	require.Equal(t, `"0"`, s.get(settingsPath, admin).Header.Get("ETag"), "nothing was written")
	big := s.do(http.MethodPut, settingsPath, admin, `{"name":"`+string(make([]byte, 300<<10))+`"}`,
		"Content-Type", "application/json", "If-Match", `"0"`)
	require.Equal(t, http.StatusRequestEntityTooLarge, big.problem(t).Status)
	require.Equal(t, http.StatusUnsupportedMediaType,
		s.do(http.MethodPut, settingsPath, admin, `a=b`, "Content-Type", "text/plain", "If-Match",
			`"0"`).problem(t).Status)
}
