// SPDX-License-Identifier: Apache-2.0

// Package privilege names the capabilities of this process, gives them up, and
// takes those that it holds back again for moments, on one thread.
//
// A user id of 0 stays 0: without capabilities, root is an ordinary user who
// happens to own root's files, and can open those that their owner may open.
package privilege

import (
	"slices"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Effective names the capabilities that the calling thread can use now, in the
// kernel's order: "cap_chown", …, "cap_bpf". Threads differ only in
// [Holder.Do].
func Effective() []string {
	return names(raised(cap.GetProc(), cap.Effective))
}

// Missing returns those of the needed capabilities that the calling thread
// cannot use now, as they were written. CAP_SYS_ADMIN stands for CAP_BPF and
// CAP_PERFMON, as it does in the kernel. A name that is no capability is
// always missing.
func Missing(needed ...string) []string {
	held := raised(cap.GetProc(), cap.Effective)
	var missing []string
	for _, name := range needed {
		v, ok := value(name)
		split := ok && (v == cap.BPF || v == cap.PERFMON)
		switch {
		case ok && slices.Contains(held, v):
		case split && slices.Contains(held, cap.SYS_ADMIN):
		default:
			missing = append(missing, name)
		}
	}
	return missing
}
