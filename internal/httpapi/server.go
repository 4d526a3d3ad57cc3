package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// headerTimeout is how long a header may take. It is one packet or two: whoever needs longer holds
// connections open on purpose.
const headerTimeout = 5 * time.Second

// Server returns an http.Server with the time limits that a public one needs against slow clients.
// Routes that legitimately take longer extend their own deadlines.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      60 * time.Second,
		// Longer than the usual idle time of a load balancer (60 s), which must be the one to
		// close.
		IdleTimeout:    120 * time.Second,
		MaxHeaderBytes: 32 << 10,
		// Broken handshakes of port scanners are not our errors.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
