package httpapi_test

import (
	"bytes"
	"image"
	"image/png"
	"net/http"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/logo"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

func TestASchoolUploadsItsLogo(t *testing.T) {
	t.Parallel()
	s := full(t)
	const path = "/v1/schools/north/logo"
	admin, teacher, guardian := token(t, "north", "ada", "admin"),
		token(t, "north", "tom", "teacher"), token(t, "north", "g", "guardian")
	require.Equal(t, http.StatusNotFound, s.get(path, teacher).StatusCode)

	var upload bytes.Buffer
	require.NoError(t, png.Encode(&upload, image.NewNRGBA(image.Rect(0, 0, 2000, 1000))))
	for _, other := range []string{teacher, guardian, token(t, "south", "eve", "admin")} {
		require.Equal(t, http.StatusForbidden, s.do("PUT", path, other, upload.String()).StatusCode)
		require.Equal(t, http.StatusForbidden, s.do("DELETE", path, other, "").StatusCode)
	}
	answer := s.do("PUT", path, admin, upload.String(), "Content-Type", "image/png")
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.body))
	var stored httpapi.StoredLogo
	require.NoError(t, json.Unmarshal(answer.body, &stored))

	got := s.get(path, guardian)
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, "image/png", got.Header.Get("Content-Type"))
	require.Equal(t, `"`+stored.SHA256+`"`, got.Header.Get("Etag"))
	config, err := png.DecodeConfig(bytes.NewReader(got.body))
	require.NoError(t, err)
	require.Equal(t, []int{724, 362},
		[]int{config.Width, config.Height})
	require.Equal(t, http.StatusNotModified,
		s.get(path, guardian, "If-None-Match", got.Header.Get("Etag")).StatusCode)
	require.Equal(t, http.StatusForbidden,
		s.get(path, token(t, "south", "eve", "admin")).StatusCode)

	require.Contains(t, s.do("PUT", path, admin, "<svg/>").problem(t).Detail,
		"PNG, JPEG, GIF or WebP")
	require.Equal(t, http.StatusRequestEntityTooLarge,
		s.do("PUT", path, admin, string(make([]byte, logo.MaxBytes+1))).problem(t).Status)
	require.Equal(t, got.body, s.get(path, admin).body, "what cannot be used changes nothing")

	versions := func() string {
		return string(s.get("/v1/schools/north/settings/versions", admin).body)
	}
	require.Equal(t, http.StatusNoContent, s.do("DELETE", path, admin, "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.get(path, guardian).StatusCode)
	before := versions()
	require.Equal(t, http.StatusNoContent, s.do("DELETE", path, admin, "").StatusCode)
	require.Equal(t, before, versions(), "what changes nothing makes no version")
}
