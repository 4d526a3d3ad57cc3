package smtp

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// mailbox is an address as it goes over the wire.
type mailbox struct {
	address string
	utf8    bool // the part before the @ has letters outside ASCII, which only SMTPUTF8 transmits
}

// onTheWire writes the domain of an address in ASCII (RFC 5891), which every server takes. There is
// no such form of the part before the @.
func onTheWire(address string) (mailbox, error) {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || strings.Contains(domain, "@") {
		return mailbox{}, errors.New("the address is none: it has no @, or several")
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || ascii == "" {
		return mailbox{}, errors.New("the domain of the address is none")
	}
	return mailbox{local + "@" + ascii, !isASCII(local)}, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// prepare asks for SMTPUTF8 only where an address needs it: a server that passes a message on may
// otherwise have to return it (RFC 6531, section 3.4).
func (c *connection) prepare(needed bool) *consumers.SendError {
	c.session.SkipSMTPUTF8(!needed)
	if offered, _ := c.session.Extension("SMTPUTF8"); needed && !offered {
		return provider.Fail(consumers.Permanent, "smtputf8",
			"the mail server cannot take this address: it has letters outside ASCII before the @, "+
				"and the server does not offer SMTPUTF8")
	}
	return nil
}

// addressLike is what could be somebody's address in a server's text.
var addressLike = regexp.MustCompile(`[^\s<>"'(),;:=]*@[^\s<>"'(),;]+`)

// maxServerText bounds what is stored of a server's text, in bytes.
const maxServerText = 300

// serverText returns what the server said, for the school to tell a full mailbox from a wrong
// address. Addresses are blanked: errors are logged.
func serverText(e *gomail.SendError, recipient string) string {
	text := strings.TrimPrefix(e.Error(), e.Reason.String())
	for _, after := range []string{", affected recipient(s): ", ", affected message ID: "} {
		text, _, _ = strings.Cut(text, after)
	}
	text = strings.TrimSpace(strings.TrimPrefix(text, ":"))
	code, said, _ := strings.Cut(text, " ")
	if plain, err := strconv.Unquote(said); err == nil {
		text = code + " " + plain
	}
	text = strings.Join(strings.Fields(text), " ")
	text = strings.ReplaceAll(text, recipient, "…")
	text = addressLike.ReplaceAllString(text, "…")
	if len(text) > maxServerText {
		text = strings.ToValidUTF8(text[:maxServerText], "") + "…"
	}
	return text
}
