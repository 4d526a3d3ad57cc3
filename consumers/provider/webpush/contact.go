package webpush

import (
	"net/mail"
	"net/url"
	"strings"
)

// reachable reports that a contact is one that all push services accept. Apple's refuses every
// notice with the error BadJwtToken when it is not a mailto: or https: address of a domain of the
// internet, or has a space in it.
func reachable(contact string) bool {
	scheme, rest, _ := strings.Cut(contact, ":")
	switch scheme {
	case "mailto":
		address, err := mail.ParseAddress(rest)
		_, host, _ := strings.Cut(rest, "@")
		return err == nil && address.Address == rest && address.Name == "" && isDomain(host)
	case "https":
		u, err := url.Parse(contact)
		return err == nil && u.User == nil && isDomain(u.Hostname())
	}
	return false
}

// isDomain reports that a host is a name with a top-level domain, in ASCII.
func isDomain(host string) bool {
	labels := strings.Split(strings.ToLower(host), ".")
	for _, l := range labels {
		letters := strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-")
		if l == "" || letters != "" || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
	}
	top := labels[len(labels)-1]
	return len(labels) > 1 && top != "localhost" && strings.Trim(top, "0123456789") != ""
}
