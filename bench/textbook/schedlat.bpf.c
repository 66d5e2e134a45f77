//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Run-queue latency the textbook way, as bcc's runqlat does it: a timestamp in
 * a hash by pid when a task becomes ready, by one of three ways, and the
 * difference when it gets a CPU.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "textbook.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} schedlat_starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} schedlat_delay SEC(".maps");

/* 2f064a59a11f "sched: Change task_struct::state" */
struct task_struct___state {
	long state;
} __attribute__((preserve_access_index));

static __always_inline bool schedlat_is_running(struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;

	if (bpf_core_field_exists(old->state))
		return !old->state;
	return !task->__state;
}

static __always_inline int schedlat_ready(struct task_struct *task)
{
	__u32 pid = task->pid;
	__u64 now = bpf_ktime_get_ns();

	if (pid)
		bpf_map_update_elem(&schedlat_starts, &pid, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(schedlat_wakeup, struct task_struct *task)
{
	return schedlat_ready(task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(schedlat_wakeup_new, struct task_struct *task)
{
	return schedlat_ready(task);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(schedlat_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 *start, *count, delay;
	__u32 pid, slot;

	if (schedlat_is_running(prev))
		schedlat_ready(prev);
	pid = next->pid;
	start = bpf_map_lookup_elem(&schedlat_starts, &pid);
	if (!start)
		return 0;
	delay = bpf_ktime_get_ns() - *start;
	bpf_map_delete_elem(&schedlat_starts, &pid);
	slot = textbook_log2(delay / 1000);
	count = bpf_map_lookup_elem(&schedlat_delay, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
