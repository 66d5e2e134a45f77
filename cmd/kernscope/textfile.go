// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/textfile"
)

// textfileFlags are the flags of the command that writes files.
type textfileFlags struct {
	collectors *collectorFlags
	named      *[]string
	directory  *string
	window     *time.Duration
	pin        *pinFlags
	unpin      *bool
}

// addTextfile adds the command that writes metrics once, for node_exporter.
func addTextfile(app *kingpin.Application, flags *collectorFlags) (string, action) {
	f := &textfileFlags{collectors: flags}
	cmd := app.Command("textfile", "Write each collector's metrics to a file for node_exporter's textfile collector, and end. A timer should run it. The file of a collector that does not run says why; those of collectors that are switched off are removed.")
	f.named = flags.addNamed(cmd, "Only these collectors; each must run on this machine.")
	f.directory = cmd.Flag("directory", "Directory of the files: node_exporter's --collector.textfile.directory.").
		Default("/var/lib/node_exporter/textfile_collector").String()
	f.window = cmd.Flag("window", "Time to count before writing, for collectors that do not go on from an earlier run and for ratios.").
		Default("10s").Duration()
	f.pin = addPinFlags(cmd, "Go on counting between runs, so that counters never go back. On by default where a BPF file system is mounted.", "true")
	f.unpin = cmd.Flag("unpin", "Only end the counting between runs: leave nothing in the kernel, and no file.").Bool()
	return cmd.FullCommand(), f.run
}

func (f *textfileFlags) run(ctx context.Context, env environment) error {
	specs, err := f.collectors.chosen(*f.named)
	if err != nil {
		return err
	}
	switch {
	case *f.window <= 0:
		return fmt.Errorf("flag --window: %v is no time to count in: %w", *f.window, errUsage)
	case *f.unpin && f.pin.asked:
		return fmt.Errorf("--unpin goes with neither --pin nor --no-pin: %w", errUsage)
	case *f.unpin:
		return f.end(env.logger)
	}
	return f.write(ctx, env, specs)
}

// write counts, writes, and leaves the collectors counting.
func (f *textfileFlags) write(ctx context.Context, env environment, specs []collector.Spec) error {
	cfg, err := f.collectors.engineConfig(specs, env.logger)
	if err != nil {
		return err
	}
	if access := cfg.Machine.Access(); access.Answer != kernel.Yes && os.Geteuid() != 0 {
		return fmt.Errorf("%s; %s", access.Reason, access.Remedy)
	}
	dir, err := textfile.Open(*f.directory)
	if err != nil {
		return err
	}
	defer dir.Close()
	specs, foreign := writable(specs, dir)
	if len(specs) == 0 {
		return foreign
	}
	cfg.Specs = specs
	if cfg.Pins, err = f.pin.open(env.logger); err != nil {
		return err
	}
	cfg.Window = *f.window
	e := engine.NewUntil(ctx, cfg)
	defer e.Close()

	if mustWait(specs, e) {
		select {
		case <-ctx.Done():
		case <-time.After(*f.window):
		}
	}
	if ctx.Err() != nil {
		return errors.New("told to end before anything was written")
	}
	e.EndWindow()
	incomplete, err := writeFiles(ctx, specs, e, dir)
	if err != nil {
		return err
	}
	// Not before the files are written: nothing stays in the kernel after a
	// run that could not do its work.
	if err := e.Pin(); err != nil {
		return errors.Join(err, e.Unpin())
	}
	off := f.collectors.switchedOff(*f.named)
	if err := errors.Join(removeFiles(dir, off, env.logger), unpin(cfg.Pins, off)); err != nil {
		return err
	}
	if err := errors.Join(foreign, incomplete, namedRun(*f.named, e), failed(e)); err != nil {
		return err
	}
	if !slices.ContainsFunc(e.States(), func(s engine.State) bool { return s.Status.Well() }) {
		return errors.New("no collector runs on this machine: see kernscope doctor")
	}
	return nil
}

// writable returns the collectors whose files may be written, and an error that
// names the files of the others, which are not kernscope's.
func writable(specs []collector.Spec, dir *textfile.Directory) (ours []collector.Spec, foreign error) {
	for _, s := range specs {
		err := dir.Check(collector.TextfileName(s.Name))
		if err == nil {
			ours = append(ours, s)
			continue
		}
		foreign = errors.Join(foreign, fmt.Errorf("%s is left out: %w; move it, or use --no-collector.%s", s.Name, err, s.Name))
	}
	return ours, foreign
}

// removeFiles removes the collectors' files. It leaves those that are not
// kernscope's, and says so.
func removeFiles(dir *textfile.Directory, collectors []string, logger *slog.Logger) error {
	for _, name := range collectors {
		err := dir.Remove(collector.TextfileName(name))
		if errors.Is(err, textfile.ErrForeign) {
			logger.Warn("Leaving a file", "collector", name, "reason", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// end ends the counting between runs. The files go as well: nothing renews them.
func (f *textfileFlags) end(logger *slog.Logger) error {
	if err := f.pin.remove(*f.named, logger); err != nil {
		return err
	}
	dir, err := textfile.Open(*f.directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	names := *f.named
	if len(names) == 0 {
		names = f.collectors.names()
	}
	return removeFiles(dir, names, logger)
}

// mustWait says whether there is something to count first: a collector that
// begins now, or a ratio, which is of the window.
func mustWait(specs []collector.Spec, e *engine.Engine) bool {
	for i, state := range e.States() {
		ratio := slices.ContainsFunc(specs[i].Metrics, func(m collector.Metric) bool { return m.Kind == collector.Ratio })
		if state.Status == engine.Running && (ratio || !state.Adopted) {
			return true
		}
	}
	return false
}

// failed returns an error that names every collector that should run and does
// not. Those that this machine does not support are none of these.
func failed(e *engine.Engine) error {
	var errs []error
	for _, s := range e.States() {
		if s.Status == engine.Failed || s.Status == engine.Denied {
			errs = append(errs, explain(s))
		}
	}
	return errors.Join(errs...)
}

// writeFiles writes the file of each collector. That of one that does not run
// has nothing but how it fares: no numbers are better than old ones. A family that
// cannot be right is left out; incomplete names those.
func writeFiles(ctx context.Context, specs []collector.Spec, e *engine.Engine, dir *textfile.Directory) (incomplete, err error) {
	for _, s := range specs {
		families, err := e.Families(ctx, []string{s.Name})
		if err != nil {
			return incomplete, err
		}
		text, err := textfile.Encode(families)
		if err != nil {
			incomplete = errors.Join(incomplete, fmt.Errorf("%s: left out: %w", s.Name, err))
		}
		if err := dir.Write(collector.TextfileName(s.Name), text); err != nil {
			return incomplete, err
		}
	}
	return incomplete, nil
}
