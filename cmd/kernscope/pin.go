// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/internal/attach"
)

// pinFlags say whether and where collectors go on counting between runs.
type pinFlags struct {
	on        *bool
	asked     bool
	directory *string
}

// addPinFlags adds the flags; byDefault is "true" if collectors are pinned where
// that is possible.
func addPinFlags(cmd *kingpin.CmdClause, help, byDefault string) *pinFlags {
	f := new(pinFlags)
	f.on = cmd.Flag("pin", help).Default(byDefault).IsSetByUser(&f.asked).Bool()
	f.directory = cmd.Flag("pin-directory", "Directory of a BPF file system in which programs and tables are pinned.").
		Default("/sys/fs/bpf/kernscope").String()
	return f
}

// open returns where to pin, nil if that is not wanted. Where it is not possible
// that is an error only if it was asked for.
func (f *pinFlags) open(logger *slog.Logger) (*attach.Pins, error) {
	if !*f.on {
		return nil, nil
	}
	pins, err := attach.OpenPins(*f.directory)
	if err == nil {
		return pins, nil
	}
	if f.asked {
		return nil, fmt.Errorf("flag --pin: %w", err)
	}
	logger.Warn("Nothing can be pinned: events are counted only while kernscope runs", "reason", err)
	return nil, nil
}

// unpin removes what these collectors have pinned, if anything is pinned at all.
func unpin(pins *attach.Pins, collectors []string) error {
	if pins == nil || len(collectors) == 0 { // no name would be all
		return nil
	}
	_, err := pins.Remove(collectors...)
	return err
}

// remove removes what was pinned by the collectors, by all if none is named, and logs
// whose it was.
func (f *pinFlags) remove(collectors []string, logger *slog.Logger) error {
	pins, err := attach.OpenPins(*f.directory)
	if errors.Is(err, attach.ErrNoPins) || errors.Is(err, fs.ErrNotExist) {
		return nil // where there is no file system, nothing is pinned
	}
	if err != nil {
		return err
	}
	removed, err := pins.Remove(collectors...)
	for _, r := range removed {
		if r.InUse {
			logger.Warn("Removed what another process has pinned and uses: its next start counts from zero", "collector", r.Collector)
		} else {
			logger.Info("Removed what was pinned, and detached it", "collector", r.Collector)
		}
	}
	return err
}
