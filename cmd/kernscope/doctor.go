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

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/attach"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kernel"
	"github.com/kernscope/kernscope/internal/sandbox"
)

// report is what doctor finds, as --json prints it.
type report struct {
	Kernel       string `json:"kernel"`
	Architecture string `json:"architecture"`
	Lockdown     string `json:"lockdown"`
	TypeInfo     string `json:"type_information"`
	// Needs are what every collector needs, MoreNeeds what single ones do.
	Needs     []string `json:"needs"`
	MoreNeeds []string `json:"more_needs,omitempty"`
	// Held are the capabilities that serve holds for these collectors, Denied
	// those that it cannot.
	Held   []string `json:"held_capabilities,omitempty"`
	Denied []string `json:"denied_capabilities,omitempty"`
	// Sandbox says of each part what it forbids to serve, or why it cannot.
	Sandbox    []string       `json:"sandbox"`
	Modules    []string       `json:"modules,omitempty"`
	Collectors []engine.State `json:"collectors"`
	Well       bool           `json:"well"`
}

// needs are what every collector needs.
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
		e := engine.NewUntil(ctx, cfg)
		defer e.Close()
		// A reading shows what attaching does not.
		if _, err := e.Families(ctx, nil); err != nil {
			return err
		}
		r, err := examine(cfg.Machine, specs, e)
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

func examine(machine *kernel.Machine, specs []collector.Spec, e *engine.Engine) (*report, error) {
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
		r.Well = r.Well && s.Status.Well()
	}
	held, denied, err := holding(specs, r.Collectors, "", nil, nil).Holds()
	if err != nil {
		return nil, err
	}
	for _, h := range held {
		r.Held = append(r.Held, h.String())
	}
	for _, d := range denied {
		r.Denied = append(r.Denied, d.String())
	}
	for _, p := range sandbox.Known() {
		r.Sandbox = append(r.Sandbox, p.String())
	}
	r.MoreNeeds, r.Modules = moreNeeds(specs), modules(machine, specs)
	return r, nil
}

// moreNeeds says what single collectors need, and why.
func moreNeeds(specs []collector.Spec) []string {
	var lines []string
	for _, s := range specs {
		for _, n := range s.Needs {
			things := slices.Concat(n.Capabilities, n.Sockets, n.Devices)
			for _, name := range n.Namespaces {
				things = append(things, name+" namespaces")
			}
			lines = append(lines, fmt.Sprintf("%s also needs %s: %s", s.Name, strings.Join(things, " and "), n.Why))
		}
	}
	return lines
}

// modules says of each module that a collector observes whether it is loaded,
// and what keeps it from being unloaded.
func modules(machine *kernel.Machine, specs []collector.Spec) []string {
	var lines []string
	for _, s := range specs {
		if s.Module == nil {
			continue
		}
		module := machine.Module(s.Module.Name)
		line := "module " + module.Name
		switch {
		case module.BuiltIn:
			line += " is part of the kernel"
		case !module.Live:
			line += " is not loaded"
		default:
			line += " is loaded"
			if h, err := machine.Holders(module.Name); err == nil && h.References > 0 {
				line += fmt.Sprintf(", in use %d times", h.References)
				if len(h.Modules) > 0 {
					line += ", by " + strings.Join(h.Modules, ", ")
				}
			}
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Linux %s on %s, lockdown %s, type information: %s\n", r.Kernel, r.Architecture, r.Lockdown, r.TypeInfo)
	fmt.Fprintf(w, "Every collector needs %s.\n", strings.Join(r.Needs, " and "))
	for _, n := range r.MoreNeeds {
		fmt.Fprintln(w, n)
	}
	for _, m := range r.Modules {
		fmt.Fprintf(w, "%s.\n", strings.ToUpper(m[:1])+m[1:])
	}
	for _, h := range r.Held {
		fmt.Fprintf(w, "While it serves, kernscope holds %s.\n", h)
	}
	for _, d := range r.Denied {
		fmt.Fprintf(w, "While it serves, kernscope cannot hold %s.\n", d)
	}
	for _, p := range r.Sandbox {
		fmt.Fprintf(w, "Sandbox while it serves: %s.\n", p)
	}
	var running, waiting, denied int
	var names []string
	for i, c := range r.Collectors {
		names = append(names, c.Collector)
		switch c.Status {
		case engine.Running:
			running++
		case engine.Waiting:
			waiting++
		case engine.Denied:
			denied++
		}
		if i+1 < len(r.Collectors) && fareAlike(c, r.Collectors[i+1]) {
			continue // as without privileges: what is true of all is said once
		}
		printCollector(w, c, strings.Join(names, ", "))
		names = nil
	}
	fmt.Fprintf(w, "\n%d of %d collectors run on this machine", running, len(r.Collectors))
	if waiting > 0 {
		fmt.Fprintf(w, ", %d wait", waiting)
	}
	if denied > 0 {
		fmt.Fprintf(w, ", %d are not permitted to this process", denied)
	}
	fmt.Fprintln(w, ".")
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

func printHook(w io.Writer, h attach.HookState) {
	switch {
	case h.Attach != "":
		fmt.Fprintf(w, "  %s: at %s\n", h.Name, h.Attach)
		if h.Without != "" {
			fmt.Fprintf(w, "    so %s\n", h.Without)
		}
	case h.Without != "":
		fmt.Fprintf(w, "  %s: not here: %s\n", h.Name, h.Without)
	default:
		fmt.Fprintf(w, "  %s: not here\n", h.Name)
	}
	for _, rej := range h.Rejected {
		what := rej.Attach
		if rej.Program != "" {
			what += " (" + rej.Program + ")"
		}
		fmt.Fprintf(w, "    not %s: %s\n", what, rej.Reason)
	}
}
