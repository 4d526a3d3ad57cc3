package realtime_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime"
)

func TestParseRooms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                           nil,
		" , \n,":                     nil,
		"school":                     {"school"},
		"class:a,student:b":          {"class:a", "student:b"},
		"class:a , school":           {"class:a", "school"},
		"class:a\r\nclass:b\n":       {"class:a", "class:b"},
		"class:7a,b":                 {"class:7a,b"},
		"class:7a, b,class:7a,c":     {"class:7a, b", "class:7a,c"},
		"class:a\nclass:b,student:c": {"class:a", "class:b", "student:c"},
		"class:a,class:a":            {"class:a"},
		"class:école,5e B":           {"class:école,5e B"},
	} {
		rooms, err := realtime.ParseRooms(text)
		require.NoError(t, err, text)
		var names []string
		for _, room := range rooms {
			names = append(names, room.String())
		}
		require.Equal(t, want, names, text)
	}
	for text, reason := range map[string]string{
		"kitchen":                           "want school, or one of user",
		"class:":                            "want school, or one of user",
		"class:a,clas:b":                    "want school, or one of user",
		"class:" + strings.Repeat("a", 300): "its id is longer than 128 bytes",
		"class:a\x00":                       "its id must be printable",
	} {
		_, err := realtime.ParseRooms(text)
		require.ErrorContains(t, err, reason, text)
	}
}
