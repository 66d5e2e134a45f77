//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * A collector for tests of the engine: counts chosen system calls of one
 * process whose first argument is large enough. Some of its programs cannot be
 * attached, and one only fills a map of its own.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "regs.bpf.h"

/* By number. */
const volatile __u8 cfg_chosen[512];
/* The process; 0 is none. */
const volatile __u32 cfg_process;

/* Set while programs run, beside what they count. */
volatile __u64 enginetest_least;

struct {
	__u64 small;
} losses;

struct enginetest_count {
	__u64 calls;
	__u64 latest_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct enginetest_count);
} enginetest_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} enginetest_exits SEC(".maps");

static __always_inline int enginetest_count(void *regs, long id)
{
	__u32 zero = 0;
	struct enginetest_count *count = bpf_map_lookup_elem(&enginetest_counts, &zero);

	if (!count || id < 0 || id >= (long)sizeof(cfg_chosen) || !cfg_chosen[id])
		return 0;
	if (bpf_get_current_pid_tgid() >> 32 != cfg_process)
		return 0;
	if (REGS_ARG1(regs) < enginetest_least) {
		__sync_fetch_and_add(&losses.small, 1);
		return 0;
	}
	__sync_fetch_and_add(&count->calls, 1);
	count->latest_ns = REGS_ARG1(regs);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enginetest_typed, struct pt_regs *regs, long id)
{
	return enginetest_count(regs, id);
}

SEC("raw_tp/sys_enter")
int BPF_PROG(enginetest_raw, struct pt_regs *regs, long id)
{
	return enginetest_count(regs, id);
}

/* There is no such event, which shows only as the program is attached. */
SEC("perf_event/no-such-event")
int enginetest_unattachable(void *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&enginetest_exits, &zero);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

/* No kernel has this type; the program asks for its size. */
struct enginetest_unknown_type {
	int member;
} __attribute__((preserve_access_index));

SEC("raw_tp/sys_exit")
int BPF_PROG(enginetest_untyped, struct pt_regs *regs, long ret)
{
	struct enginetest_unknown_type *unknown = (void *)regs;
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&enginetest_exits, &zero);

	if (count)
		*count += BPF_CORE_READ(unknown, member);
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(enginetest_exit, struct pt_regs *regs, long ret)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&enginetest_exits, &zero);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
