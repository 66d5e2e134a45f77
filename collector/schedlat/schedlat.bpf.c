//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Run-queue latency: how long a task was ready to run before it ran. The
 * kernel itself sums every task's waiting in sched_info.run_delay, woken,
 * preempted and migrated waits alike; one program at the context switch takes
 * what was added since the task last left the CPU. So there is one observation
 * for each stint on a CPU, made as the stint ends.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "hist.bpf.h"
#include "read.bpf.h"

struct {
	__u64 task_not_remembered; /* stints of tasks that found no room, or no memory */
} losses;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hist);
} schedlat_delay SEC(".maps");

/* A task's run_delay when it last left a CPU, plus one: zero means never seen. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} schedlat_task SEC(".maps");

/*
 * The same by the task's address, for kernels whose task storage cannot be
 * used here. A row goes when its task dies. (By pid would be wrong: a thread
 * that calls execve() takes over its leader's pid.)
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} schedlat_table SEC(".maps");

/* 2f064a59a11f "sched: Change task_struct::state" */
struct task_struct___state {
	long state;
} __attribute__((preserve_access_index));

#define TASK_DEAD 0x80

static __always_inline bool schedlat_dead(bool typed, struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;

	if (bpf_core_field_exists(old->state))
		return FIELD(typed, old, state) & TASK_DEAD;
	return FIELD(typed, task, __state) & TASK_DEAD;
}

/* Observes what a task has waited since "seen", its earlier reading plus one. */
static __always_inline void schedlat_observe(bool typed, struct task_struct *task, __u64 delay,
					     __u64 seen)
{
	struct hist *h;
	__u32 zero = 0;

	if (!seen) {
		/* Unless this was the task's first stint, its delay is that of many. */
		if (FIELD(typed, task, sched_info.pcount) != 1)
			return;
		seen = 1;
	}
	h = bpf_map_lookup_elem(&schedlat_delay, &zero);
	if (h)
		hist_observe(h, delay + 1 - seen);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(schedlat_switch_storage, bool preempt, struct task_struct *prev)
{
	__u64 delay, seen, *last;

	if (!prev->pid) /* the idle task never waits */
		return 0;
	last = bpf_task_storage_get(&schedlat_task, prev, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!last) {
		__sync_fetch_and_add(&losses.task_not_remembered, 1);
		return 0;
	}
	delay = prev->sched_info.run_delay;
	seen = *last;
	*last = delay + 1;
	schedlat_observe(true, prev, delay, seen);
	return 0;
}

static __always_inline int schedlat_switch_table(bool typed, struct task_struct *prev)
{
	__u64 task = (unsigned long)prev, delay, seen = 0, now, *last;

	if (!FIELD(typed, prev, pid))
		return 0;
	delay = FIELD(typed, prev, sched_info.run_delay);
	now = delay + 1;
	last = bpf_map_lookup_elem(&schedlat_table, &task);
	if (last) {
		seen = *last;
		*last = now;
	}
	if (schedlat_dead(typed, prev)) {
		if (last)
			bpf_map_delete_elem(&schedlat_table, &task);
	} else if (!last && bpf_map_update_elem(&schedlat_table, &task, &now, BPF_ANY)) {
		__sync_fetch_and_add(&losses.task_not_remembered, 1);
		return 0;
	}
	schedlat_observe(typed, prev, delay, seen);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(schedlat_switch_typed, bool preempt, struct task_struct *prev)
{
	return schedlat_switch_table(true, prev);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(schedlat_switch_raw, bool preempt, struct task_struct *prev)
{
	return schedlat_switch_table(false, prev);
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
