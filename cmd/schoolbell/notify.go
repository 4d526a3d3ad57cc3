package main

import (
	"context"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifyManager tells the service manager that has started this process, if it is systemd and wants
// to know, what has become of it.
func notifyManager(ctx context.Context, log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.WarnContext(ctx, "the service manager could not be told about this process",
			"state", state, "error", err)
	}
}
