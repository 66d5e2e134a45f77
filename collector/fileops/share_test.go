// SPDX-License-Identifier: Apache-2.0

package fileops

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/internal/kerneltest"
)

// The rows that a generation may add: one payer may take half of them, and two
// three quarters.
const (
	generation = 480
	half       = generation / 2
	quarter    = generation / 4
)

// TestOneUserTakesAShare: while a user without rights goes through ten thousand
// names, whoever comes has a name at once, and so it is while two do. Others use
// the table as well, so how few rows a storm gets is not known.
func TestOneUserTakesAShare(t *testing.T) {
	for name, tc := range map[string]struct {
		users []uintptr
		most  int
	}{
		"one user":  {[]uintptr{nobody}, half},
		"two users": {[]uintptr{nobody, nobody - 1}, half + quarter},
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.LeaveCgroups(t)
			e := kerneltest.Run(t, Spec())
			storm, work := kerneltest.Own("s"), kerneltest.Own("w")
			for _, user := range tc.users {
				reading(t, user, storm, 10_000)
			}
			reading(t, 0, work, 50)
			n := kerneltest.Read(t, e)
			named(t, n, work, 50)
			// The storms' users have the same names, and so the same rows.
			names, sum := namesOf(n, storm)
			refused := int(n.Value("kernscope_lost_events_total", "collector=fileops", "reason=share_full"))
			if made := 10_000 * len(tc.users); names > tc.most || sum+refused < made || sum > made {
				t.Errorf("%d names of the storm have a row, with %d reads; %d found no share", names, sum, refused)
			}
			if full := n.Value("kernscope_lost_events_total", "collector=fileops", "reason=map_full"); full != 0 {
				t.Errorf("%v events found the table full", full)
			}
		})
	}
}

// TestNoShareWhileThereIsRoom: a user whom nobody crowds may use more than a
// quarter of the table.
func TestNoShareWhileThereIsRoom(t *testing.T) {
	kerneltest.LeaveCgroups(t)
	e := kerneltest.Run(t, kerneltest.WithRows(Spec(), 4000))
	work := kerneltest.Own("w")
	reading(t, nobody, work, 1500)
	n := kerneltest.Read(t, e)
	named(t, n, work, 1500)
	if full := n.Value("kernscope_table_full", "collector=fileops", "table=fileops_calls"); full != 0 {
		t.Error("the table is said to be full")
	}
}

// stormVariable makes this test's binary go through names that begin with its
// value.
const stormVariable = "KERNSCOPE_STORM"

// TestLentIdsShareAShare: a user who was lent other ids, one for each of four user
// namespaces, has no more of the table for it.
func TestLentIdsShareAShare(t *testing.T) {
	const names = 400
	if prefix := os.Getenv(stormVariable); prefix != "" {
		reading(t, 0, prefix, names)
		return
	}
	kerneltest.LeaveCgroups(t)
	e := kerneltest.Run(t, Spec())
	work := kerneltest.Own("w")
	var storms []string
	for i := range 4 {
		storm := kerneltest.Own(string(rune('a' + i)))
		storms = append(storms, storm)
		kerneltest.As(t, "lender", func() { inUserNamespace(t, 200_000+i, storm) })
	}
	reading(t, 0, work, 50)
	n := kerneltest.Read(t, e)
	named(t, n, work, 50)
	rows, made := 0, 0
	for _, storm := range storms {
		names, sum := namesOf(n, storm)
		rows += names
		made += sum
	}
	refused := int(n.Value("kernscope_lost_events_total", "collector=fileops", "reason=share_full"))
	if rows > half || made+refused < len(storms)*names {
		t.Errorf("%d names of the storms have a row, with %d reads; %d found no share", rows, made, refused)
	}
}

// inUserNamespace runs this test's binary in a user namespace of nobody's, as a
// user id that nobody is lent. The calling thread becomes nobody, and keeps the
// capabilities that lend one.
func inUserNamespace(t *testing.T, id int, prefix string) {
	const same = ^uintptr(0)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Error(err)
		return
	}
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, same, nobody, same); err != 0 {
		t.Errorf("becoming another user: %v", err)
		return
	}
	if _, _, err := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&caps[0])), 0); err != 0 {
		t.Errorf("keeping capabilities: %v", err)
		return
	}
	lent := []syscall.SysProcIDMap{{HostID: id, Size: 1}}
	child := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), stormVariable+"="+prefix)
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: lent, GidMappings: lent, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{},
	}
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("in a user namespace: %v\n%s", err, out)
	}
}

// named checks that so many names with the prefix are served, which have read once
// each.
func named(t *testing.T, n kerneltest.Numbers, prefix string, want int) {
	t.Helper()
	if names, sum := namesOf(n, prefix); names != want || sum != want {
		t.Errorf("%d names have read %d times, %d did", names, sum, want)
	}
}
