package faulty

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// service is what the services over HTTP have in common.
type service struct {
	URL    string
	dice   *dice
	server *httptest.Server
	ctx    context.Context //nolint:containedctx // of all requests
	stop   context.CancelFunc
}

func newService(seed uint64, faults Faults, handler http.Handler) service {
	s := service{dice: newDice(seed, faults), server: httptest.NewServer(handler)}
	s.URL = s.server.URL
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

func (s *service) close() {
	s.stop()
	s.server.CloseClientConnections()
	s.server.Close()
}

// interrupt ends a request without a response, if the fault is one of those.
func (s *service) interrupt(r *http.Request, fault Fault) bool {
	switch fault {
	case Silent, SilentTaken:
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
		return true
	case Hangup, HangupTaken:
		panic(http.ErrAbortHandler) // closes the connection
	}
	return false
}

// demand sets Retry-After, in whole seconds.
func demand(w http.ResponseWriter, delay time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(delay.Seconds())))
}
