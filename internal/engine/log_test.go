// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/kernscope/kernscope/internal/engine"
)

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(strings.Lines(l.text.String()))
}

// count returns how many lines have this message.
func (l *lines) count(message string) (n int) {
	for _, line := range l.all() {
		if strings.Contains(line, `msg="`+message) || strings.Contains(line, "msg="+message) {
			n++
		}
	}
	return n
}

// logged makes a configuration log into what is returned.
func logged(cfg *engine.Config) *lines {
	log := new(lines)
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	return log
}
