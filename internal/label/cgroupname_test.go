// SPDX-License-Identifier: Apache-2.0

package label

import (
	"strings"
	"testing"
)

func TestCgroupName(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	const short = "0123456789ab"
	const uid, uidInSlice = "6a3f0c5e-93d1-4f0e-8b6d-1f2e3d4c5b6a", "6a3f0c5e_93d1_4f0e_8b6d_1f2e3d4c5b6a"
	const pod = "pod" + uid
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
		{"/bytes\xff", "bytes\uFFFD", ""},
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
		{"/lxc.monitor.web1", "lxc.monitor.web1", ""},
		{"/machine.slice/systemd-nspawn@web\\x2d1.service/payload", "systemd-nspawn@web\\x2d1.service", "web-1"},
		{"/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator", "machine-qemu\\x2d1\\x2dweb.scope", "qemu-1-web"},
	} {
		name, container := cgroupName(tc.path)
		if name != tc.name || container != tc.container {
			t.Errorf("%s: %q in %q, want %q in %q", tc.path, name, container, tc.name, tc.container)
		}
	}
}
