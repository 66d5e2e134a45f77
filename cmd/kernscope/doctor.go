// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
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
	var names []string
	for i, c := range r.Collectors {
		names = append(names, c.Collector)
		if c.Status == engine.Running {
			running++
		}
		if i+1 < len(r.Collectors) && fareAlike(c, r.Collectors[i+1]) {
			continue // as without privileges: what is true of all is said once
		}
		printCollector(w, c, strings.Join(names, ", "))
		names = nil
	}
	fmt.Fprintf(w, "\n%d of %d collectors run on this machine.\n", running, len(r.Collectors))
}

func fareAlike(a, b engine.State) bool {
	b.Collector = a.Collector
	return reflect.DeepEqual(a, b)
}

// printCollector prints what is true of all of the names.
func printCollector(w io.Writer, c engine.State, names string) {
	fmt.Fprintf(w, "\n%s: %s\n", names, c.Status)
	if c.Status != engine.Running {
		fmt.Fprintf(w, "  why: %s\n", c.Reason)
		if c.Remedy != "" {
			fmt.Fprintf(w, "  remedy: %s\n", c.Remedy)
		}
	}
	for _, h := range slices.Concat(c.Hooks, c.Absent) {
		printHook(w, h)
	}
}

func printHook(w io.Writer, h engine.HookState) {
	at := "at " + h.Attach
	if h.Attach == "" {
		at = "not here"
	}
	fmt.Fprintf(w, "  %s: %s", h.Name, at)
	if h.Without != "" {
		fmt.Fprintf(w, ": %s", h.Without)
	}
	if h.Attach != "" && h.Attach != h.AnyOf[0] {
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
