// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Module is a kernel module at one moment. The zero name is the kernel itself,
// which is always live.
type Module struct {
	Name string
	// Live reports that the module has ended its start and has not begun to
	// go: its functions can be attached to. A module that is compiled into the
	// kernel is always live.
	Live bool
	// BuiltIn reports that the module is compiled into the kernel: its
	// functions and types are the kernel's.
	BuiltIn bool
	// Identity numbers the loads of a module: each has another than those
	// before. It is 0 where there is no module, or where it is built in.
	Identity uint64
	// Version is what the module says of itself, or else the checksum of its
	// source; "" if it says neither.
	Version string
}

// samePlace reports whether both are of the same load and in the same state.
func (m Module) samePlace(other Module) bool {
	return m.Live == other.Live && m.Identity == other.Identity
}

// owner names the module in a sentence.
func (m Module) owner() string {
	if m.Name == "" {
		return "this kernel"
	}
	return "module " + m.Name
}

// modulesFolder has a folder for each module that is loaded, and for those
// compiled into the kernel that have parameters or a version.
const modulesFolder = "/sys/module"

// moduleName is the module's name as the kernel writes it: its file may have
// dashes.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Module returns the state of a module now.
func (m *Machine) Module(name string) Module {
	module := m.look(name)
	if name == "" {
		return module
	}
	folder := filepath.Join(modulesFolder, module.Name)
	module.Version = cmp.Or(m.files.line(folder+"/version"), m.files.line(folder+"/srcversion"))
	return module
}

// look returns the state of a module without its version.
func (m *Machine) look(name string) Module {
	if name == "" {
		return Module{Live: true, BuiltIn: true}
	}
	module := Module{Name: moduleName(name)}
	folder := filepath.Join(modulesFolder, module.Name)
	before := m.files.inode(folder)
	if before == 0 {
		module.BuiltIn = m.compiledIn(module.Name)
		module.Live = module.BuiltIn
		return module
	}
	// Only a loaded module has a state, and that file comes after the folder
	// and goes before it. /proc/modules lists the module for longer.
	state := m.files.line(folder + "/initstate")
	listed := state != "" || m.listed(module.Name)
	if m.files.inode(folder) != before {
		return module // it went in between
	}
	if !listed {
		module.Live, module.BuiltIn = true, true
		return module
	}
	module.Identity = before
	module.Live = state == "live"
	return module
}

// listed reports whether /proc/modules lists the module, in any state.
func (m *Machine) listed(name string) bool {
	text, err := os.ReadFile(m.files.path("/proc/modules"))
	if err != nil {
		return true // in doubt it is no part of the kernel
	}
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(name+" ")) {
			return true
		}
	}
	return false
}

// compiledIn reports whether the list of what is compiled into the kernel,
// which comes with its modules, has the module.
func (m *Machine) compiledIn(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.builtIn == nil {
		m.builtIn = m.readBuiltIn()
	}
	return m.builtIn[name]
}

func (m *Machine) readBuiltIn() map[string]bool {
	names := make(map[string]bool)
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return names
	}
	file, err := os.Open(m.files.path("/lib/modules/" + unix.ByteSliceToString(uts.Release[:]) + "/modules.builtin"))
	if err != nil {
		return names // not every machine has it, a container least of all
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		base, _, _ := strings.Cut(filepath.Base(lines.Text()), ".ko")
		names[moduleName(base)] = true
	}
	return names
}

// lookEvery is how often a module that is followed is looked at, hurry how often
// while it comes or goes.
const (
	lookEvery = 500 * time.Millisecond
	hurry     = 50 * time.Millisecond
)

// NextModule returns the module's state as soon as it is another than seen: the
// module was loaded, came to life, went, or was loaded anew. It returns the
// context's error if that ends first. What changed between the look that
// returned seen and this call is not missed.
//
// It looks twice a second, which costs a stat(2) each, and does not listen to
// uevents. The kernel sends one before the module starts and none when the
// start has ended, so a listener has to look all the same. A service may be
// denied sockets of netlink, a container in a user namespace of its own gets no
// uevents, and those of a busy machine's disks and network interfaces would
// wake a listener more often.
func (m *Machine) NextModule(ctx context.Context, seen Module) (Module, error) {
	interval := lookEvery
	if seen.Identity != 0 && !seen.Live {
		interval = hurry
	}
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		if !m.stays(seen) {
			if now := m.Module(seen.Name); !now.samePlace(seen) {
				return now, nil
			}
		}
		select {
		case <-ctx.Done():
			return Module{}, ctx.Err()
		case <-ticks.C:
		}
	}
}

// stays reports that nothing has changed, where one system call can tell.
func (m *Machine) stays(seen Module) bool {
	if seen.BuiltIn {
		return true
	}
	inode := m.files.inode(filepath.Join(modulesFolder, seen.Name))
	return inode == seen.Identity && (seen.Live || inode == 0)
}

// Holders says what keeps a module from being unloaded.
type Holders struct {
	// Modules are those that use its functions.
	Modules []string
	// References is how often it is in use, by those modules and by others:
	// devices, mounts, sockets, programs attached by a trampoline or to a
	// tracepoint of the module.
	References int
}

// Holders returns what keeps a module from being unloaded now.
func (m *Machine) Holders(module string) (Holders, error) {
	folder := m.files.path(filepath.Join(modulesFolder, moduleName(module)))
	var h Holders
	text, err := os.ReadFile(folder + "/refcnt")
	if err != nil {
		return h, fmt.Errorf("asking what holds module %s: %w", module, err)
	}
	if h.References, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return h, fmt.Errorf("asking what holds module %s: %w", module, err)
	}
	entries, err := os.ReadDir(folder + "/holders")
	if err != nil {
		return h, fmt.Errorf("asking what holds module %s: %w", module, err)
	}
	for _, e := range entries {
		h.Modules = append(h.Modules, e.Name())
	}
	return h, nil
}
