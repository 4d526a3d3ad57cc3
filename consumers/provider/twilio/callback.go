package twilio

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the service's protocol
	"encoding/base64"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
)

// The parameters of a callback's address, which the service signs with it.
const (
	paramDelivery = "delivery"
	paramSchool   = "school"
	paramExpires  = "expires"
)

// SignatureHeader carries the service's signature of a callback.
const SignatureHeader = "X-Twilio-Signature"

// callbackFor returns the callback address of a delivery.
func (p *Provider) callbackFor(d *consumers.Delivery) string {
	return p.config.Callbacks + "?" + url.Values{
		paramDelivery: {d.ID},
		paramSchool:   {d.School},
		paramExpires:  {strconv.FormatInt(p.callbackExpiry().Unix(), 10)},
	}.Encode()
}

// Sign returns the signature of a callback: of its address and, ordered by name, its parameters.
func Sign(token, address string, form url.Values) string {
	h := hmac.New(sha1.New, []byte(token))
	h.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			h.Write([]byte(name))
			h.Write([]byte(v))
		}
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// maxCallback bounds the body of a callback.
const maxCallback = 64 << 10

// Callback receives the service's reports. It responds 401 to what the service has not signed, or
// signed for a time that has passed. A report may come twice and in any order; consumers.Reports
// puts them in order.
func (p *Provider) Callback(reports consumers.Reports, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readForm(w, r) {
			return
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || !p.authentic(r, p.config.Callbacks) || p.config.Now().After(expiresAt(query)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		report, ok := p.report(query, r.PostForm)
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch err := reports.Receive(r.Context(), report); {
		case errors.Is(err, consumers.ErrUnknownDelivery):
			w.WriteHeader(http.StatusNotFound)
		case err != nil:
			log.ErrorContext(r.Context(), "receive a provider's report", "provider", p.Name(),
				"delivery", report.DeliveryID, "error", err)
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
}

// readForm reads what the service has posted, or responds that it cannot be read.
func readForm(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxCallback)
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		w.WriteHeader(status)
		return false
	}
	return true
}

// authentic verifies the signature against the address that was given to the service, whatever a
// proxy has made of it, and against both tokens while they are being replaced.
func (p *Provider) authentic(r *http.Request, address string) bool {
	signature := r.Header.Get(SignatureHeader)
	if address == "" || signature == "" {
		return false
	}
	ok := false
	for _, token := range []string{p.config.Token, p.config.OldToken} {
		for _, spelling := range spellings(address) {
			if r.URL.RawQuery != "" {
				spelling += "?" + r.URL.RawQuery
			}
			want := Sign(token, spelling, r.PostForm)
			ok = hmac.Equal([]byte(want), []byte(signature)) && token != "" || ok
		}
	}
	return ok
}

// spellings returns the ways in which a service may write an address: some omit the scheme's
// default port, others add it.
func spellings(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	port := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	switch u.Port() {
	case "":
		u.Host += ":" + port
	case port:
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	default:
		return []string{address}
	}
	return []string{address, u.String()}
}

// expiresAt returns the time until which a callback address is valid; long ago when it has none.
func expiresAt(query url.Values) time.Time {
	seconds, err := strconv.ParseInt(query.Get(paramExpires), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// report reads a report. It is not ok when it names no delivery or status.
func (p *Provider) report(query, form url.Values) (consumers.Report, bool) {
	status := form.Get("MessageStatus")
	r := consumers.Report{
		Provider:   p.Name(),
		ProviderID: form.Get("MessageSid"),
		DeliveryID: query.Get(paramDelivery),
		School:     query.Get(paramSchool),
		State:      state(status),
		Cost:       millionths(form.Get("Price")),
		At:         p.config.Now(),
	}
	if r.State == consumers.Failed {
		code, _ := strconv.Atoi(form.Get("ErrorCode")) // often there is none
		r.Error = reason(status, code, form.Get("ErrorMessage"))
		r.OptedOut = code == optedOut
	}
	return r, status != "" && r.DeliveryID != "" && len(r.ProviderID) <= 128
}
