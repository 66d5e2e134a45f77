//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Run-queue latency: how long a task was ready to run before it ran. The
 * kernel itself sums every task's waiting in sched_info.run_delay, woken,
 * preempted and migrated waits alike; one program at the context switch takes
 * what was added since the task last left the CPU. So there is one observation
 * for each stint on a CPU, made as the stint ends. A wait that began because a
 * cgroup had used up its quota is observed apart.
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

struct schedlat_waits {
	struct hist queued;
	struct hist throttled;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct schedlat_waits);
} schedlat_delay SEC(".maps");

/* The task left its CPU because of its cgroup's quota. In ns, the bit is 292 years. */
#define SCHEDLAT_THROTTLED (1ULL << 63)

/*
 * A task's run_delay when it last left a CPU, plus one: zero means never seen.
 * SCHEDLAT_THROTTLED may be added.
 */
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

/* e1fad12dcb66 "sched/fair: Switch to task based throttle model" */
struct task_struct___throttled {
	bool throttled;
} __attribute__((preserve_access_index));

#define TASK_DEAD 0x80

static __always_inline long schedlat_state(bool typed, struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;

	if (bpf_core_field_exists(old->state))
		return FIELD(typed, old, state);
	return FIELD(typed, task, __state);
}

/*
 * What a task that leaves its CPU has waited, plus one, and whether it leaves
 * because the quota of its cgroup, or of one above, is used up. Since Linux 6.18
 * each task is throttled, as it returns to user space, and says so. Before, the
 * cgroup is on this CPU, with whoever is ready to run.
 */
static __always_inline __u64 schedlat_now(bool typed, bool preempt, struct task_struct *task)
{
	struct task_struct___throttled *own = (void *)task;
	__u64 now = FIELD(typed, task, sched_info.run_delay) + 1;
	struct cfs_rq *queue = NULL;
	bool throttled = false;

	if (bpf_core_field_exists(own->throttled)) {
		throttled = FIELD(typed, own, throttled);
	} else if (bpf_core_field_exists(queue->throttle_count) &&
		   bpf_core_field_exists(task->se.cfs_rq)) {
		queue = FIELD(typed, task, se.cfs_rq);
		throttled = FIELD(typed, queue, throttle_count) > 0 &&
			    (preempt || !schedlat_state(typed, task));
	}
	return throttled ? now | SCHEDLAT_THROTTLED : now;
}

/* Observes what a task has waited from one reading of it, "seen", to the next. */
static __always_inline void schedlat_observe(bool typed, struct task_struct *task, __u64 now,
					     __u64 seen)
{
	struct schedlat_waits *waits;
	__u32 zero = 0;

	if (!seen) {
		/* Unless this was the task's first stint, its delay is that of many. */
		if (FIELD(typed, task, sched_info.pcount) != 1)
			return;
		seen = 1;
	}
	waits = bpf_map_lookup_elem(&schedlat_delay, &zero);
	if (waits)
		hist_observe(seen & SCHEDLAT_THROTTLED ? &waits->throttled : &waits->queued,
			     (now & ~SCHEDLAT_THROTTLED) - (seen & ~SCHEDLAT_THROTTLED));
}

SEC("tp_btf/sched_switch")
int BPF_PROG(schedlat_switch_storage, bool preempt, struct task_struct *prev)
{
	__u64 now, seen, *last;

	if (!prev->pid) /* the idle task never waits */
		return 0;
	last = bpf_task_storage_get(&schedlat_task, prev, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!last) {
		__sync_fetch_and_add(&losses.task_not_remembered, 1);
		return 0;
	}
	now = schedlat_now(true, preempt, prev);
	seen = *last;
	*last = now;
	schedlat_observe(true, prev, now, seen);
	return 0;
}

static __always_inline int schedlat_switch_table(bool typed, bool preempt, struct task_struct *prev)
{
	__u64 task = (unsigned long)prev, now, seen = 0, *last;

	if (!FIELD(typed, prev, pid))
		return 0;
	now = schedlat_now(typed, preempt, prev);
	last = bpf_map_lookup_elem(&schedlat_table, &task);
	if (last) {
		seen = *last;
		*last = now;
	}
	if (schedlat_state(typed, prev) & TASK_DEAD) {
		if (last)
			bpf_map_delete_elem(&schedlat_table, &task);
	} else if (!last && bpf_map_update_elem(&schedlat_table, &task, &now, BPF_ANY)) {
		__sync_fetch_and_add(&losses.task_not_remembered, 1);
		return 0;
	}
	schedlat_observe(typed, prev, now, seen);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(schedlat_switch_typed, bool preempt, struct task_struct *prev)
{
	return schedlat_switch_table(true, preempt, prev);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(schedlat_switch_raw, bool preempt, struct task_struct *prev)
{
	return schedlat_switch_table(false, preempt, prev);
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
