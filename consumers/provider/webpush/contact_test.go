package webpush_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/provider/webpush"
)

func TestContactsThatApplesServiceRefusesAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for contact, good := range map[string]bool{
		"mailto:it@oak.example":              true,
		"mailto:it+push@mail.oak.example":    true,
		"https://oak.example":                true,
		"https://oak.example:8443/contact":   true,
		"https://xn--bcher-kva.example":      true,
		"":                                   false,
		"it@oak.example":                     false,
		"mailto:x":                           false,
		"mailto:":                            false,
		"mailto: it@oak.example":             false,
		"mailto:it@oak.example ":             false,
		"mailto:it@localhost":                false,
		"mailto:it@oak.localhost":            false,
		"mailto:<it@oak.example>":            false,
		"mailto:IT <it@oak.example>":         false,
		"mailto:it@oak.example?subject=hi":   false,
		"mailto:a@oak.example,b@oak.example": false,
		"mailto:it@10.0.0.1":                 false,
		"https://localhost":                  false,
		"https://localhost:8080":             false,
		"https://127.0.0.1":                  false,
		"https://[::1]":                      false,
		"https://":                           false,
		"https://me:secret@oak.example":      false,
		"https://oak":                        false,
		"https://oak..example":               false,
		"https://-oak.example":               false,
		"http://oak.example":                 false,
		"tel:+441234567":                     false,
	} {
		err := webpush.Config{Contact: contact}.Validate()
		if good {
			require.NotContains(t, err.Error(), "contact", contact)
		} else {
			require.ErrorContains(t, err, "web push contact", contact)
		}
	}
}
