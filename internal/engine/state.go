// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/kernscope/kernscope/internal/attach"
)

// Status says how a collector fares.
type Status string

// The statuses of a collector.
const (
	// Running means attached and read without error.
	Running Status = "running"
	// Waiting means that its module or file is not there yet, or not any more.
	// That is no failure.
	Waiting Status = "waiting"
	// Unsupported means this machine lacks something the collector needs.
	Unsupported Status = "unsupported"
	// Denied means that the kernel could, and does not permit it to this
	// process: it lacks a capability, or a filter or a switch forbids it.
	Denied Status = "denied"
	// Failed means the kernel refused what it should support, or reading
	// the collector's maps or sources failed.
	Failed Status = "failed"
	// Stopped means that the collector was switched off while running.
	Stopped Status = "stopped"
)

// Well reports whether the status is none to worry about.
func (s Status) Well() bool { return s == Running || s == Waiting || s == Stopped }

// State is what is known of a collector at one time.
type State struct {
	Collector string `json:"collector"`
	Status    Status `json:"status"`
	Reason    string `json:"reason,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
	Detail    string `json:"-"`
	// Adopted means that it goes on from what an earlier process pinned.
	Adopted bool               `json:"adopted,omitempty"`
	Hooks   []attach.HookState `json:"hooks,omitempty"`
	// Absent are the optional hooks that have no place on this machine.
	Absent []attach.HookState `json:"absent,omitempty"`
	// attached means that this process attached the programs, if it adopted the
	// maps or not.
	attached bool
	// problem is what kept the collector from being started.
	problem *attach.Problem
}

// passes reports whether readings try to start the collector again.
func (s *State) passes() bool { return s.problem != nil && s.problem.Passes }

// status is a collector's state. It is changed here alone, and every change is
// logged.
type status struct {
	logger *slog.Logger
	// adopts is the level at which adopting is logged.
	adopts slog.Level
	mu     sync.Mutex
	state  State
}

func (s *status) get() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// settle sets the state in which a collector was started, stopped or began to
// wait.
func (s *status) settle(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state.Collector = s.state.Collector
	s.state = state
	switch state.Status {
	case Running:
		hooks := make([]string, len(state.Hooks))
		for i, h := range state.Hooks {
			hooks[i] = h.Name + " at " + h.Attach
		}
		level, event := slog.LevelInfo, "Attached"
		if !state.attached {
			level, event = s.adopts, "Adopted what an earlier process pinned"
		}
		s.logger.Log(context.Background(), level, event, "hooks", strings.Join(hooks, ", "))
	case Waiting:
		s.logger.Info("Waiting", "reason", state.Reason)
	case Stopped:
		s.logger.Info("Stopped")
	default:
		s.logger.Warn("Collector does not run", "status", state.Status, "reason", state.Reason, "remedy", state.Remedy)
		s.logDetail(state.Detail)
	}
}

// renew sets the state of a collector that was not started once more, which was
// logged the first time.
func (s *status) renew(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state.Collector = s.state.Collector
	s.state = state
}

// fail notes that a collector failed beside its readings.
func (s *status) fail(problem *attach.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Status, s.state.Reason, s.state.Remedy = Failed, problem.Reason, problem.Remedy
	s.logger.Error("Collector fails", "reason", problem.Reason, "remedy", problem.Remedy)
	s.logDetail(problem.Detail)
}

// read notes how a reading of a running collector ended: nil is well. Only the
// first of several failures is logged, and the reading that works again. A
// collector that waits or is stopped stays so: what did not end in time is not
// its reading.
func (s *status) read(problem *attach.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.state.Status
	if before != Running && before != Failed && before != Denied {
		return
	}
	if problem == nil {
		s.state.Status, s.state.Reason, s.state.Remedy = Running, "", ""
		if before != Running {
			s.logger.Info("Reading works again")
		}
		return
	}
	s.state.Status, s.state.Reason, s.state.Remedy = stateOf(problem).Status, problem.Reason, problem.Remedy
	if before == Running {
		s.logger.Warn("Reading fails", "reason", problem.Reason, "remedy", problem.Remedy)
		s.logDetail(problem.Detail)
	}
}

// logDetail logs the verifier's log, or the stack of a panic.
func (s *status) logDetail(detail string) {
	if detail != "" {
		s.logger.Debug("Detail", "text", detail)
	}
}

// stateOf returns the state of a collector that is not attached because of a
// problem.
func stateOf(p *attach.Problem) State {
	s := State{Status: Failed, Reason: p.Reason, Remedy: p.Remedy, Detail: p.Detail, problem: p}
	switch {
	case p.Waits:
		s.Status = Waiting
	case p.Unsupported:
		s.Status = Unsupported
	case p.Denied:
		s.Status = Denied
	}
	return s
}
