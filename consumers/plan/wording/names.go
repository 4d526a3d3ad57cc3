package wording

import (
	"regexp"
	"strings"
)

// domains are what telephones turn into links without being asked.
var domains = regexp.MustCompile(`\.(\pL{2})`)

// withoutLinks returns a name as it may stand in a message: in the school's voice, so that nobody
// whose name is an address can make readers follow it. It stays readable: only spaces are added.
func withoutLinks(name string) string {
	return domains.ReplaceAllString(strings.ReplaceAll(name, "://", ": //"), ". $1")
}
