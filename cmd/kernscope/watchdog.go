// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd how the process fares, if it waits to be told. It keeps
// one socket, since the sandbox lets no other be opened.
type notifier struct {
	logger *slog.Logger
	socket net.Conn // nil if systemd does not wait
}

// open opens the socket that the environment names.
func (n *notifier) open() {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	socket, err := net.Dial("unixgram", path)
	if err != nil {
		n.logger.Warn("Cannot tell systemd how kernscope fares", "err", err)
		return
	}
	n.socket = socket
}

// notify tells systemd a state.
func (n *notifier) notify(state string) {
	if n.socket == nil {
		return
	}
	if _, err := n.socket.Write([]byte(state)); err != nil {
		n.logger.Warn("Cannot tell systemd", "state", strings.TrimSpace(state), "err", err)
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
func watchdog(ctx context.Context, pause time.Duration, systemd *notifier, answer func(context.Context) error) {
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
			systemd.notify(daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			systemd.logger.Warn("No sign of life for systemd: reading the collectors does not end", "after", pause, "err", err)
		}
	}
}
