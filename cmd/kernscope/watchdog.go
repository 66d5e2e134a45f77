// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd, if it waits to be told.
func notify(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("Cannot tell systemd", "state", strings.TrimSpace(state), "err", err)
	}
}

// watchdogPause returns how long to wait between two signs of life, of which systemd
// wants one in each WatchdogSec; 0 if it wants none.
func watchdogPause() (time.Duration, error) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("reading systemd's watchdog from the environment: %w", err)
	}
	return within / 3, nil
}

// watchdog gives systemd a sign of life after every pause until ctx ends, but
// only if answer, which does what a scrape does, returned before the next one
// was due. Who misses WatchdogSec is killed and started anew.
func watchdog(ctx context.Context, pause time.Duration, logger *slog.Logger, answer func(context.Context) error) {
	if pause <= 0 {
		return
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, pause)
		err := answer(limited)
		cancel()
		if err == nil {
			notify(logger, daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			logger.Warn("No sign of life for systemd: reading the collectors does not end", "after", pause, "err", err)
		}
	}
}
