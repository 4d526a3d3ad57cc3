package faulty

import (
	"net/http"
	"net/url"
	"strings"
)

// maxCalls is the number of concurrent callbacks.
const maxCalls = 16

// report makes the callbacks about a message, in a goroutine of its own.
func (s *SMS) report(text *Text, callback string) {
	if callback == "" {
		return
	}
	last := "delivered"
	if s.dice.chance(s.config.Undeliver) {
		last = "undelivered"
	}
	calls := []string{"sent", last}
	if s.dice.chance(s.config.Reorder) {
		calls[0], calls[1] = calls[1], calls[0]
	}
	for i := range calls {
		if s.dice.chance(s.config.Twice) {
			calls = append(calls, calls[i])
		}
	}
	forged := s.dice.chance(s.config.Forge)
	s.mu.Lock()
	text.Status = last
	t := *text
	s.mu.Unlock()
	s.calls.Go(func() {
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		for _, status := range calls {
			code := s.call(callback, t, status, s.config.Token)
			s.mu.Lock()
			s.callback[code]++
			s.mu.Unlock()
		}
		if forged {
			code := s.call(callback, t, "failed", "not the token")
			s.mu.Lock()
			s.forged[code]++
			s.mu.Unlock()
		}
	})
}

// call makes one callback, and returns the status of the response; 0 is none.
func (s *SMS) call(callback string, t Text, status, token string) int {
	form := url.Values{
		"MessageSid": {t.SID}, "SmsSid": {t.SID}, "MessageStatus": {status}, "SmsStatus": {status},
		"AccountSid": {s.config.Account}, "To": {t.To}, "From": {t.From},
		"ApiVersion": {"2010-04-01"},
	}
	if status == "undelivered" {
		form.Set("ErrorCode", "30003")
	}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, callback,
		strings.NewReader(form.Encode()))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.config.Sign != nil {
		req.Header.Set("X-Twilio-Signature", s.config.Sign(token, callback, form))
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}
