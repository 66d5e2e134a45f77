// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const loadedModules = "dm_mod 20480 0 - Live 0x0\nwireguard 90112 0 - Live 0x0\n"

func TestModule(t *testing.T) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	list := "/lib/modules/" + unix.ByteSliceToString(uts.Release[:]) + "/modules.builtin"
	m := fake(t, map[string]string{
		"/proc/modules":                        "dm_mod 1 0 - Live 0x0\ncoming 1 0 - Loading 0x0\nearly 1 0 - Loading 0x0\n",
		"/sys/module/dm_mod/initstate":         "live\n",
		"/sys/module/dm_mod/srcversion":        "ABC\n",
		"/sys/module/coming/initstate":         "coming\n",
		"/sys/module/coming/version":           "1.0\n",
		"/sys/module/coming/srcversion":        "ABC\n",
		"/sys/module/early/uevent":             "",
		"/sys/module/tcp_cubic/version":        "2.3\n",
		list:                                   "kernel/fs/ext4/ext4.ko\nkernel/drivers/ata/ahci-seattle.ko.xz\n",
		"/sys/module/going/initstate":          "going\n",
		"/sys/module/going/holders/x/anything": "",
	})
	for name, want := range map[string]Module{
		"":             {Live: true, BuiltIn: true},
		"dm-mod":       {Name: "dm_mod", Live: true, Version: "ABC"},
		"coming":       {Name: "coming", Version: "1.0"},
		"early":        {Name: "early"}, // its state is not there yet
		"going":        {Name: "going"},
		"tcp_cubic":    {Name: "tcp_cubic", Live: true, BuiltIn: true, Version: "2.3"},
		"ext4":         {Name: "ext4", Live: true, BuiltIn: true},
		"ahci_seattle": {Name: "ahci_seattle", Live: true, BuiltIn: true},
		"absent":       {Name: "absent"},
	} {
		got := m.Module(name)
		if got.BuiltIn || name == "absent" {
			if got.Identity != 0 {
				t.Errorf("%q has the identity %d", name, got.Identity)
			}
		} else if got.Identity == 0 {
			t.Errorf("%q has no identity", name)
		}
		got.Identity = 0
		if got != want {
			t.Errorf("%q: %+v, want %+v", name, got, want)
		}
	}
}

func TestHolders(t *testing.T) {
	m := fake(t, map[string]string{
		"/sys/module/dm_mod/refcnt":         "3\n",
		"/sys/module/dm_mod/holders/dm_log": "",
	})
	got, err := m.Holders("dm-mod")
	if err != nil || got.References != 3 || len(got.Modules) != 1 || got.Modules[0] != "dm_log" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := m.Holders("absent"); err == nil {
		t.Errorf("a module that is not loaded: %+v", got)
	}
}

// A module comes, comes to life, is loaded anew between two looks, and goes.
func TestNextModule(t *testing.T) {
	const folder = "/sys/module/wireguard"
	m := fake(t, map[string]string{"/proc/modules": loadedModules})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // rather than for ever
	defer cancel()
	next := func(seen Module, change func()) Module {
		t.Helper()
		result := make(chan Module)
		go func() {
			now, err := m.NextModule(ctx, seen)
			if err != nil {
				t.Error(err)
			}
			result <- now
		}()
		change()
		return <-result
	}

	absent := m.Module("wireguard")
	coming := next(absent, func() { write(t, m, folder+"/initstate", "coming\n") })
	if coming.Live || coming.Identity == 0 {
		t.Fatalf("coming: %+v", coming)
	}
	live := next(coming, func() { write(t, m, folder+"/initstate", "live\n") })
	if !live.Live || live.Identity != coming.Identity {
		t.Fatalf("live: %+v, was %+v", live, coming)
	}

	remove(t, m, folder)
	write(t, m, folder+"/version", "2\n")
	write(t, m, folder+"/initstate", "live\n")
	anew := next(live, func() {})
	if !anew.Live || anew.Identity == live.Identity || anew.Version != "2" {
		t.Fatalf("loaded anew: %+v, was %+v", anew, live)
	}
	gone := next(anew, func() { remove(t, m, folder) })
	if gone != absent {
		t.Fatalf("gone: %+v, was %+v", gone, absent)
	}
}

// Nothing changes: the caller waits until it has had enough.
func TestNextModuleEndsWithItsContext(t *testing.T) {
	m := fake(t, map[string]string{
		"/proc/modules":                   loadedModules,
		"/sys/module/wireguard/initstate": "live\n",
		"/sys/module/tcp_cubic/version":   "2.3\n",
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*lookEvery)
	defer cancel()
	var all sync.WaitGroup
	for _, name := range []string{"", "wireguard", "tcp_cubic", "absent"} {
		all.Go(func() {
			if now, err := m.NextModule(ctx, m.Module(name)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q: %+v, %v", name, now, err)
			}
		})
	}
	all.Wait()
}

// What was known of a module ends with its load; of the kernel it stays.
func TestAnswersEndWithTheLoad(t *testing.T) {
	const folder = "/sys/module/wireguard"
	m := fake(t, map[string]string{
		"/proc/modules":       loadedModules,
		folder + "/initstate": "live\n",
		"/proc/kallsyms":      "0 t wg_xmit\t[wireguard]\n",
	})
	asked := 0
	ask := func() Finding {
		asked++
		return no("because", "")
	}
	times := func(module string) int {
		asked = 0
		m.onceFor(m.look(module), "question", ask)
		return asked
	}
	if first, again := times("wireguard"), times("wireguard"); first != 1 || again != 0 {
		t.Errorf("asked %d times, then %d", first, again)
	}
	if first, again := times(""), times(""); first != 1 || again != 0 {
		t.Errorf("of the kernel: asked %d times, then %d", first, again)
	}
	if f := m.Function("wg_new", "wireguard"); f.Answer != No || f.Passing {
		t.Errorf("a function that the module lacks: %+v", f)
	}

	remove(t, m, folder)
	if f := m.Function("wg_new", "wireguard"); f.Answer != No || !f.Passing || f.Remedy == "" {
		t.Errorf("a function of a module that is not loaded: %+v", f)
	}
	write(t, m, folder+"/initstate", "live\n")
	write(t, m, "/proc/kallsyms", "0 t wg_new\t[wireguard]\n")
	if n := times("wireguard"); n != 1 {
		t.Errorf("asked %d times after the module was loaded anew", n)
	}
	if n := times(""); n != 0 {
		t.Errorf("of the kernel: asked %d times after a module was loaded anew", n)
	}
	if f := m.Function("wg_new", "wireguard"); f.Answer != Yes {
		t.Errorf("a function that the new load has: %+v", f)
	}
}

func TestPassingAnswersAreNotKept(t *testing.T) {
	m := fake(t, nil)
	asked := 0
	for range 2 {
		m.once("question", func() Finding {
			asked++
			return no("for now", "").passing()
		})
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}
