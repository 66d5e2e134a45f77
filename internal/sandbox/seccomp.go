// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// canFilter returns why the kernel does not filter system calls; nil if it does.
func canFilter() error {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	if err := seccomp(unix.SECCOMP_GET_ACTION_AVAIL, 0, unsafe.Pointer(&action)); err != nil {
		return fmt.Errorf("the kernel does not filter system calls (CONFIG_SECCOMP_FILTER): %w", err)
	}
	return nil
}

// filterCalls lets every thread make the plan's system calls only. Others fail
// with EPERM, as in a systemd unit, and do not end the process: no list can
// foresee what a later version of Go tries before it does without.
func filterCalls(p Plan) error {
	if err := canFilter(); err != nil {
		return err
	}
	raw, err := bpf.Assemble(program(p.calls()))
	if err != nil {
		return fmt.Errorf("assembling the filter of system calls: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// The flag sets no_new_privs in the other threads, if it is set in this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	err = seccomp(unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, unsafe.Pointer(&prog))
	runtime.KeepAlive(filter)
	if err != nil {
		return fmt.Errorf("filtering system calls: %w", err)
	}
	return nil
}

func seccomp(operation, flags uintptr, args unsafe.Pointer) error {
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, operation, flags, uintptr(args))
	switch {
	case errno != 0:
		return errno
	case thread != 0:
		return errors.New("a thread has a filter of its own")
	}
	return nil
}

// call is a system call that is permitted: always, or if the low 32 bits of an
// argument are as one of the tests wants.
type call struct {
	number uintptr
	// argument is a position, from 0.
	argument uint32
	tests    []test
}

// test compares an argument, of which the mask is applied.
type test struct{ mask, equals uint32 }

// Offsets in struct seccomp_data, on a little-endian machine.
const (
	offsetNumber    = 0
	offsetMachine   = 4
	offsetArguments = 16
)

// program returns the filter.
func program(calls []call) []bpf.Instruction {
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	deny := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	filter := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetMachine, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: machine, SkipTrue: 1},
		deny,
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
		// No filter sees what clone3 is asked for. Who is told that there is none
		// calls clone.
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE3, SkipFalse: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
	}
	for _, c := range calls {
		rest := []bpf.Instruction{allow}
		if c.tests != nil {
			rest = nil
			for _, t := range c.tests {
				rest = append(rest,
					bpf.LoadAbsolute{Off: offsetArguments + 8*c.argument, Size: 4},
					bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: t.mask},
					bpf.JumpIf{Cond: bpf.JumpEqual, Val: t.equals, SkipFalse: 1},
					allow)
			}
			rest = append(rest, deny)
		}
		filter = append(filter, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(c.number), SkipFalse: uint8(len(rest))})
		filter = append(filter, rest...)
	}
	return append(filter, deny)
}

// calls returns the system calls of the plan.
func (p Plan) calls() []call {
	const all = ^uint32(0)
	calls := []call{
		// Threads, and no processes.
		{unix.SYS_CLONE, 0, []test{{unix.CLONE_THREAD, unix.CLONE_THREAD}}},
		{unix.SYS_TGKILL, 0, []test{{all, uint32(unix.Getpid())}}},
		// The limits of this process, and not those of others.
		{unix.SYS_PRLIMIT64, 0, []test{{all, 0}}},
		// Copies and flags of descriptors. Other commands lock files, or make the
		// kernel signal another process.
		{unix.SYS_FCNTL, 1, []test{
			{all, unix.F_DUPFD}, {all, unix.F_DUPFD_CLOEXEC}, {all, unix.F_GETFD}, {all, unix.F_SETFD},
			{all, unix.F_GETFL}, {all, unix.F_SETFL},
		}},
		// No memory that can be executed.
		{unix.SYS_MMAP, 2, []test{{unix.PROT_EXEC, 0}}},
		{unix.SYS_MPROTECT, 2, []test{{unix.PROT_EXEC, 0}}},
		{unix.SYS_IOCTL, 1, []test{
			{all, unix.PERF_EVENT_IOC_SET_BPF}, {all, unix.PERF_EVENT_IOC_ENABLE},
			{all, unix.PERF_EVENT_IOC_DISABLE}, {all, uint32(unix.PERF_EVENT_IOC_ID)},
		}},
	}
	open := call{unix.SYS_OPENAT, 2, []test{{unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC, 0}}}
	if len(p.Devices) > 0 {
		open.tests[0].mask &^= unix.O_ACCMODE
	}
	calls = append(calls, open)
	numbers := slices.Concat(always, ofMachine)
	// No filter sees which file these are for: that is Landlock's matter.
	if len(p.Change) > 0 {
		numbers = append(numbers, unix.SYS_MKDIRAT, unix.SYS_UTIMENSAT, unix.SYS_FLOCK)
	}
	if len(p.Change)+len(p.Remove) > 0 {
		numbers = append(numbers, unix.SYS_UNLINKAT)
	}
	if p.Sockets {
		numbers = append(numbers, unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND)
	}
	if p.Namespaces {
		numbers = append(numbers, unix.SYS_SETNS)
	}
	for _, number := range numbers {
		calls = append(calls, call{number: number})
	}
	return calls
}

// always are the system calls of Go's runtime and libraries, of the server and
// of the collectors on every machine.
var always = []uintptr{
	// Descriptors. Which files can be opened is Landlock's matter.
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PREADV,
	unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_FADVISE64,
	unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_GETDENTS64, unix.SYS_READLINKAT,
	unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_GETCWD,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2, unix.SYS_PPOLL,
	// Sockets that are open.
	unix.SYS_ACCEPT4, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_SHUTDOWN,
	unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_SENDFILE, unix.SYS_SPLICE,
	// Threads, time and memory.
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_GETCPU,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RESTART_SYSCALL, unix.SYS_MEMBARRIER,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	// What the process asks about itself and the machine.
	unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRLIMIT, unix.SYS_GETRUSAGE,
	// Attaching and reading, which take capabilities.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_CAPGET, unix.SYS_CAPSET, unix.SYS_PRCTL,
}
