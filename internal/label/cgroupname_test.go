// SPDX-License-Identifier: Apache-2.0

package label

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCgroupName(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	const short = "0123456789ab"
	const uid, uidInSlice = "6a3f0c5e-93d1-4f0e-8b6d-1f2e3d4c5b6a", "6a3f0c5e_93d1_4f0e_8b6d_1f2e3d4c5b6a"
	const pod = "pod" + uid
	long := strings.Repeat("jobs/", maxName/5)
	for _, tc := range []struct{ path, name, container string }{
		{"/", "/", ""},
		// systemd
		{"/init.scope", "init.scope", ""},
		{"/system.slice/nginx.service", "nginx.service", ""},
		{"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", ""},
		{"/system.slice/systemd-udevd.service/udev", "systemd-udevd.service", ""},
		{"/system.slice/docker.socket", "docker.socket", ""},
		{"/system.slice/var-lib-nfs.mount", "var-lib-nfs.mount", ""},
		{"/system.slice/snap.lxd.daemon.service", "snap.lxd.daemon.service", ""},
		{"/user.slice/user-1000.slice/session-3.scope", "session-3.scope", ""},
		{"/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service/init.scope", ""},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-2611.scope", "user@1000.service/app-firefox-2611.scope", ""},
		{"/user.slice/user-1000.slice", "user-1000.slice", ""},
		{"/system.slice", "system.slice", ""},
		// no systemd
		{"/jobs/42", "jobs/42", ""},
		{"/other", "/other", ""},
		{"/gone", "/gone", ""},
		{"/id:5", "/id:5", ""},
		{"/idle", "idle", ""},
		{"/others/gone", "others/gone", ""},
		{"/bytes\xff", `bytes\xff`, ""},
		{"/bytes\xfe", `bytes\xfe`, ""},
		{"/bytes\uFFFD", "bytes\uFFFD", ""},
		{"/line\nfeed", `line\x0afeed`, ""},
		{"/a.slice/jobs", "a.slice/jobs", ""}, // not the same as /b.slice/jobs
		{"/" + long + "1", long[:keptOfName] + "…d41f2a48fdfd9eba9a627054d6ffee2e", ""},
		// Docker
		{"/system.slice/docker-" + id + ".scope", "docker-" + short + ".scope", short},
		{"/system.slice/docker-" + id + ".scope/init.scope", "init.scope", short},
		{"/system.slice/docker-" + id + ".scope/system.slice/nginx.service", "nginx.service", short},
		{"/docker/" + id, "docker/" + short, short},
		{"/docker/" + id + "/jobs", "docker/" + short, short},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + id + ".scope", "user@1000.service/docker-" + short + ".scope", short},
		// Podman
		{"/machine.slice/libpod-" + id + ".scope/container", "libpod-" + short + ".scope", short},
		{"/machine.slice/libpod-conmon-" + id + ".scope", "libpod-conmon-" + short + ".scope", ""},
		{"/machine.slice/machine-libpod_pod_" + id + ".slice/libpod-" + id + ".scope", "libpod-" + short + ".scope", short},
		{"/system.slice/web.service/libpod-payload-" + id, "web.service", short},
		// Kubernetes
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidInSlice + ".slice/cri-containerd-" + id + ".scope", pod, short},
		{"/kubepods.slice/kubepods-pod" + uidInSlice + ".slice/crio-" + id + ".scope/container", pod, short},
		{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidInSlice + ".slice/crio-conmon-" + id + ".scope", pod, ""},
		{"/kubepods/besteffort/pod" + uid + "/" + id, pod, short},
		{"/kubepods/burstable/pod" + strings.Repeat("0a", 16) + "/" + id, "pod" + strings.Repeat("0a", 16), short},
		{"/kubepods/besteffort/pod" + uid, pod, ""},
		{"/system.slice/containerd.service/kubepods-burstable-pod" + uidInSlice + ".slice:cri-containerd:" + id, pod, short},
		{"/docker/" + strings.Repeat("f", 64) + "/kubelet/kubepods/pod" + uid + "/" + id, pod, short},
		{"/kubepods/pod" + uid + "/" + id + "/system.slice/cron.service", "cron.service", short},
		{"/kubelet.slice/kubelet.service", "kubelet.service", ""},
		// LXC, nspawn, virtual machines
		{"/lxc/web1", "lxc/web1", "web1"},
		{"/lxc.payload/web1/init.scope", "init.scope", "web1"},
		{"/lxc.payload.web1", "lxc.payload.web1", "web1"},
		{"/lxc.payload.web1/system.slice/nginx.service", "nginx.service", "web1"},
		{"/lxc.payload/other", "lxc.payload/other", `\x6fther`},
		{"/lxc/gone", "lxc/gone", `\x67one`},
		{"/lxc/bytes\xff", `lxc/bytes\xff`, `bytes\xff`},
		{"/lxc/bytes\xfe", `lxc/bytes\xfe`, `bytes\xfe`},
		{"/lxc.payload.a\\x2db", `lxc.payload.a\x2db`, `a\x2db`}, // not the same as a-b
		{"/lxc.payload.a\\xffb", `lxc.payload.a\x5cxffb`, `a\x5cxffb`},
		{"/machine.slice/machine-a\\xffb.scope", `machine-a\x5cxffb.scope`, `a\xffb`},
		{"/machine.slice/machine-other.scope", "machine-other.scope", `\x6fther`},
		{"/lxc.monitor.web1", "lxc.monitor.web1", ""},
		{"/machine.slice/systemd-nspawn@web\\x2d1.service/payload", "systemd-nspawn@web\\x2d1.service", "web-1"},
		{"/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator", "machine-qemu\\x2d1\\x2dweb.scope", "qemu-1-web"},
	} {
		name, container := make(shortIDs).name(tc.path)
		if name != tc.name || container != tc.container {
			t.Errorf("%s: %q in %q, want %q in %q", tc.path, name, container, tc.name, tc.container)
		}
	}
}

// TestContainersWithLikeIDs checks that two containers are not taken for one if their ids begin
// alike, and that the one which was there first keeps its name.
func TestContainersWithLikeIDs(t *testing.T) {
	c, v2, _ := cgroupsIn(t)
	const short = "0123456789ab"
	first, second := short+strings.Repeat("c", 52), short+strings.Repeat("d", 52)
	var fields []string
	expect := func(i int, cgroup, container string) {
		t.Helper()
		if got := c.Label("cgroup", fields[i]); got != cgroup {
			t.Errorf("cgroup %q, want %q", got, cgroup)
		}
		if got := c.Label("container", fields[i]); got != container {
			t.Errorf("container %q, want %q", got, container)
		}
	}
	for i, path := range []string{"docker-" + first + ".scope", "docker-" + second + ".scope", "docker-" + first + ".scope/init.scope"} {
		field, _ := makeCgroup(t, 0, v2, path)
		fields = append(fields, field)
		if gone := look(c, fields...); len(gone) > 0 {
			t.Errorf("%v are gone", gone)
		}
		expect(0, "tenant/docker-"+short+".scope", short)
		switch i {
		case 1:
			expect(1, "tenant/docker-"+second+".scope", second)
		case 2:
			expect(2, "init.scope", short)
		}
	}
}

// FuzzCgroupName checks that any path has label values, and none that stand for something else.
func FuzzCgroupName(f *testing.F) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, path := range []string{
		"/", "", "other", "/gone", "/id:5", "/lxc/other", "/lxc.payload.gone", "/a.slice", "/system.slice/nginx.service/x",
		"/system.slice/docker-" + id + ".scope", "/docker/" + id + "/system.slice/cron.service", "/machine.slice/machine-a\\xffb.scope",
		"/kubepods/besteffort/pod6a3f0c5e-93d1-4f0e-8b6d-1f2e3d4c5b6a/" + id,
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		ids := make(shortIDs)
		name, container := ids.name(path)
		if name == "" {
			t.Errorf("%q has no name", path)
		}
		for _, value := range []string{name, container} {
			if slices.Contains(reserved, value) || strings.HasPrefix(value, unnamed) && value != container || !utf8.ValidString(value) {
				t.Errorf("%q: %q in %q", path, name, container)
			}
		}
		again, in := ids.name(path)
		if again != name || in != container {
			t.Errorf("%q: %q in %q, then %q in %q", path, name, container, again, in)
		}
	})
}
