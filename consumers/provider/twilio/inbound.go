package twilio

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/text/cases"

	"github.com/schoolbell/schoolbell/consumers"
)

// The words that end texts and begin them again: the service's own, and those of the languages that
// Schoolbell writes in. Only a text that is nothing but the word counts.
var (
	stopWords = []string{
		"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke",
		"arret", "arrêt", "alto", "baja", "parar", "sair", "قف", "إيقاف", "ايقاف",
	}
	startWords = []string{
		"start", "unstop", "yes", "oui", "reprise", "alta", "inicio", "iniciar", "ابدأ", "ابدا",
	}
)

// Inbound receives the texts that recipients send back. It acts on those who opt out or in again, and
// takes note of no other: what a family writes is not stored. The service itself responds to them. The
// address is the one that was set at the service; it signs it.
func (p *Provider) Inbound(
	address string, reports consumers.Reports, log *slog.Logger,
) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readForm(w, r) {
			return
		}
		if !p.authentic(r, address) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		wish, found := p.wish(r.PostForm)
		if !found {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := reports.ReceiveWish(r.Context(), wish); err != nil {
			log.ErrorContext(r.Context(), "receive a recipient's wish", "provider", p.Name(),
				"message", wish.MessageID, "error", err)
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// wish reads what the sender of a text wants; there is none in most texts. The service may have read
// it already (OptOutType), by words that were set there.
func (p *Provider) wish(form url.Values) (w consumers.Wish, found bool) {
	w = consumers.Wish{
		Provider: p.Name(), MessageID: form.Get("MessageSid"), Number: form.Get("From"),
		At: p.config.Now(),
	}
	word := cases.Fold().String(strings.Trim(form.Get("Body"), " \t\r\n.!\""))
	switch kind := form.Get("OptOutType"); {
	case kind == "STOP", kind == "" && slices.Contains(stopWords, word):
		w.Stop = true
	case kind == "START", kind == "" && slices.Contains(startWords, word):
	default:
		return w, false
	}
	return w, strings.HasPrefix(w.Number, "+") && w.MessageID != "" && len(w.MessageID) <= 128
}
