// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// systemd is the socket where systemd waits to be told.
func systemd(t *testing.T) *net.UnixConn {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

// heard is what systemd was told next.
func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// TestWatchdog lets two answers fail to come: systemd must hear of the third.
func TestWatchdog(t *testing.T) {
	conn := systemd(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	pause, err := watchdogPause()
	if err != nil || pause != 10*time.Millisecond {
		t.Fatalf("%v, %v", pause, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	told := &notifier{logger: slog.New(slog.DiscardHandler)}
	told.open()
	asked := 0
	go func() {
		defer close(ended)
		watchdog(ctx, pause, told, func(ctx context.Context) error {
			asked++
			switch asked {
			case 1:
				<-ctx.Done() // must have a limit
				return ctx.Err()
			case 2:
				return errors.New("broken")
			}
			told.notify("an answer")
			return nil
		})
	}()
	for range 2 {
		if got := heard(t, conn); got != "an answer" {
			t.Fatalf("told %q before there was an answer", got)
		}
		if got := heard(t, conn); got != "WATCHDOG=1" {
			t.Fatalf("told %q after an answer", got)
		}
	}
	cancel()
	// What it tells to nobody must not block it.
	conn.Close()
	<-ended
}

func TestWatchdogIsNotWanted(t *testing.T) {
	for _, variables := range []map[string]string{
		{},
		{"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
	} {
		for name, value := range variables {
			t.Setenv(name, value)
		}
		pause, err := watchdogPause()
		if err != nil || pause != 0 {
			t.Errorf("%v: %v, %v", variables, pause, err)
		}
		watchdog(t.Context(), pause, nil, nil) // ends at once
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := watchdogPause(); err == nil {
		t.Error("no error for a time that is none")
	}
}
