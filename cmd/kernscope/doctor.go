// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
)

// report is what doctor finds, as --json prints it.
type report struct {
	Kernel       string         `json:"kernel"`
	Architecture string         `json:"architecture"`
	Lockdown     string         `json:"lockdown"`
	TypeInfo     string         `json:"type_information"`
	Needs        []string       `json:"needs"`
	Collectors   []engine.State `json:"collectors"`
	Well         bool           `json:"well"`
}

// needs are what every collector needs; what one needs beyond is in its hooks.
var needs = []string{"CAP_BPF and CAP_PERFMON (or root)", "type information (BTF)"}

// addDoctor adds the command that tries every collector and explains.
func addDoctor(app *kingpin.Application, flags *collectorFlags) (string, action) {
	cmd := app.Command("doctor", "Attach every collector for a moment and explain what runs here, what does not, and what would help. Fails if a collector does not run.")
	asJSON := cmd.Flag("json", "Print JSON.").Bool()
	named := flags.addNamed(cmd, "Only these collectors.")
	return cmd.FullCommand(), func(ctx context.Context, env environment) error {
		specs, err := flags.chosen(*named)
		if err != nil {
			return err
		}
		cfg, err := flags.engineConfig(specs, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		e := engine.New(cfg)
		defer e.Close()
		// A reading shows what attaching does not.
		if _, err := e.Families(ctx, nil); err != nil {
			return err
		}
		r, err := examine(cfg.Machine, e)
		if err != nil {
			return err
		}
		if *asJSON {
			out := json.NewEncoder(env.stdout)
			out.SetIndent("", "  ")
			err = out.Encode(r)
		} else {
			r.print(env.stdout)
		}
		if err == nil && !r.Well {
			err = fmt.Errorf("not every collector runs on this machine")
		}
		return err
	}
}

func examine(machine *kernel.Machine, e *engine.Engine) (*report, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("asking for the kernel's release: %w", err)
	}
	r := &report{
		Kernel:       unix.ByteSliceToString(uts.Release[:]),
		Architecture: runtime.GOARCH,
		Lockdown:     kernel.Lockdown(),
		TypeInfo:     "the kernel's own",
		Needs:        needs,
		Collectors:   e.States(),
		Well:         true,
	}
	if r.Lockdown == "" {
		r.Lockdown = "none"
	}
	if machine.External() != nil {
		r.TypeInfo = "from the file given with --btf"
	} else if f := machine.Types(); f.Answer != kernel.Yes {
		r.TypeInfo = f.Reason
	}
	for _, s := range r.Collectors {
		r.Well = r.Well && s.Status == engine.Running
	}
	return r, nil
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Linux %s on %s, lockdown %s, type information: %s\n", r.Kernel, r.Architecture, r.Lockdown, r.TypeInfo)
	fmt.Fprintf(w, "Every collector needs %s.\n", strings.Join(r.Needs, " and "))
	running := 0
	for _, s := range r.Collectors {
		fmt.Fprintf(w, "\n%s: %s\n", s.Collector, s.Status)
		if s.Status == engine.Running {
			running++
		} else {
			fmt.Fprintf(w, "  why: %s\n", s.Reason)
			if s.Remedy != "" {
				fmt.Fprintf(w, "  remedy: %s\n", s.Remedy)
			}
		}
		for _, h := range s.Hooks {
			at := h.Attach
			if at == "" {
				at = "nowhere"
			}
			fmt.Fprintf(w, "  %s: at %s", h.Name, at)
			if len(h.AnyOf) > 1 {
				fmt.Fprintf(w, " (the first that serves here of %s)", strings.Join(h.AnyOf, ", "))
			}
			fmt.Fprintln(w)
			for _, rej := range h.Rejected {
				what := rej.Attach
				if rej.Program != "" {
					what += " (" + rej.Program + ")"
				}
				fmt.Fprintf(w, "    not %s: %s\n", what, rej.Reason)
			}
		}
	}
	fmt.Fprintf(w, "\n%d of %d collectors run on this machine.\n", running, len(r.Collectors))
}
