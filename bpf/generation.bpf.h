/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_GENERATION_BPF_H
#define KERNSCOPE_GENERATION_BPF_H

#include "cgroup.bpf.h"

/*
 * Rows that anybody can add: names, addresses, numbers that a program chooses.
 * The generation in which a row was added is a member of its key. User space
 * begins a new generation, at the latest when one has no room left, and then
 * moves the rows of the old ones into an archive of its own: whoever is active
 * has a row again. The first numbers are no generations. They tell overflow
 * rows apart, by why an event found no row, so no row of a name equals one.
 */
enum row_generation {
	ROW_MAP_FULL = 1, /* the generation has all of its rows */
	ROW_SHARE_FULL, /* few are left, and the user, cgroup or network has its share */
	ROW_NO_MEMORY,
	ROW_BUSY, /* the map was being changed by what was interrupted */
	ROW_GENERATION = 16, /* the first */
};

#define ROW_SHARES 256

/* How deep the kernel lets user namespaces nest, without the initial one. */
#define ROW_USER_NAMESPACES 33

/* What the kernel answers, by errno. */
#define ROW_E2BIG 7
#define ROW_ENOMEM 12

/*
 * How many rows were added in a generation. The generation is in the upper half
 * of each number, so that the first to count in a new one begins anew.
 */
struct row_gate {
	__u64 all;
	__u64 by[ROW_SHARES]; /* whoever pays, by hash: some share a share */
};

/*
 * Takes one row of "limit". That several CPUs do at once may refuse one row too
 * many, and let each of them pass once more as a generation begins.
 */
static __always_inline long row_take(__u64 *taken, __u64 generation, __u64 limit)
{
	__u64 now = *(volatile __u64 *)taken;

	if (now >> 32 != generation) {
		now = generation << 32;
		*(volatile __u64 *)taken = now;
	}
	if ((__u32)now >= limit)
		return false;
	__sync_fetch_and_add(taken, 1);
	now = *(volatile __u64 *)taken;
	if ((__u32)now <= limit)
		return true;
	__sync_fetch_and_add(taken, -1);
	return false;
}

/* How many rows the generation has. */
static __always_inline __u32 row_used(struct row_gate *gate, __u64 generation)
{
	__u64 all = *(volatile __u64 *)&gate->all;

	return all >> 32 == generation ? all : 0;
}

static __always_inline __u64 *row_share(struct row_gate *gate, __u64 generation, __u64 whose)
{
	return &gate->by[(whose ^ generation << 40) * 0x9e3779b97f4a7c15 >> 56];
}

/* Who a row is added for: up to two, by a number each. 0 is nobody. */
struct row_payers {
	__u64 first;
	__u64 second;
};

/*
 * The user that a task's rows count for. In a user namespace a user has as many
 * ids as it was lent: whoever made the outermost one pays for what is in it. If
 * that was root, as it is of a container, the ids in it are users of their own.
 */
static __always_inline __u32 row_user(bool typed, struct task_struct *task, __u32 uid)
{
	struct cred *cred = FIELD(typed, task, cred);
	struct user_namespace *at = FIELD(typed, cred, user_ns), *parent;
	__u32 owner = 0;

	for (int i = 0; i < ROW_USER_NAMESPACES; i++) {
		parent = FIELD(typed, at, parent);
		if (!parent)
			break;
		owner = FIELD(typed, at, owner.val);
		at = parent;
	}
	return owner ? owner : uid;
}

/* The running task's user, but for root, and its cgroup, but for the root of all. */
static __noinline long row_payers_of_current(struct row_payers *payers)
{
	struct task_struct *task = NULL;
	struct cgroup_key cgroup = {};
	__u32 uid = bpf_get_current_uid_gid();

	/* 3ca1032ab7ab "bpf: Implement get_current_task_btf and RET_PTR_TO_BTF_ID" */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		uid = row_user(true, bpf_get_current_task_btf(), uid);
	else
		uid = row_user(false, (void *)bpf_get_current_task(), uid);
	if (bpf_core_field_exists(task->cgroups)) /* CONFIG_CGROUPS */
		cgroup_of_current(&cgroup);
	payers->first = uid ? uid | 1ull << 32 : 0;
	payers->second = cgroup.id > 1 ? cgroup.id ^ (__u64)cgroup.hierarchy << 56 : 0;
	return 0;
}

static __always_inline void row_give_back(struct row_gate *gate, __u64 generation, __u64 whose)
{
	if (whose)
		__sync_fetch_and_add(row_share(gate, generation, whose), -1);
}

/*
 * Takes a row of everything that it counts for. Returns 0, or why there is none.
 * As long as half of the rows are free, everybody may have one. Then a payer may
 * that has, together with whoever has the same share, less than a quarter.
 */
static __noinline long row_admit(struct row_gate *gate, __u64 generation, __u64 limit, __u64 first,
				 __u64 second)
{
	__u64 share = row_used(gate, generation) < limit / 2 ? limit : limit / 4;

	if (first && !row_take(row_share(gate, generation, first), generation, share))
		return ROW_SHARE_FULL;
	if (second && !row_take(row_share(gate, generation, second), generation, share)) {
		row_give_back(gate, generation, first);
		return ROW_SHARE_FULL;
	}
	if (row_take(&gate->all, generation, limit))
		return 0;
	row_give_back(gate, generation, first);
	row_give_back(gate, generation, second);
	return ROW_MAP_FULL;
}

/*
 * Gives back what was taken for a row that another CPU added first, or that the
 * kernel could not add. Returns why, if there is still none: the next event asks
 * again.
 */
static __noinline long row_return(struct row_gate *gate, __u64 generation, long err, __u64 first,
				  __u64 second)
{
	__sync_fetch_and_add(&gate->all, -1);
	row_give_back(gate, generation, first);
	row_give_back(gate, generation, second);
	switch (err) {
	case -ROW_E2BIG:
		return ROW_MAP_FULL;
	case -ROW_ENOMEM:
		return ROW_NO_MEMORY;
	}
	return ROW_BUSY;
}

/* Asked first, as it is cheap: a storm of names ends here. */
static __always_inline bool row_none_left(struct row_gate *gate, __u64 generation, __u64 limit)
{
	return row_used(gate, generation) >= limit;
}

/* Adds the row of a key that has none, as a copy of "zero". */
static __always_inline void *row_add(void *map, const void *key, __u64 generation, const void *zero,
				     struct row_gate *gate, __u64 limit,
				     const struct row_payers *payers, enum row_generation *why)
{
	long err;

	*why = row_admit(gate, generation, limit, payers->first, payers->second);
	if (*why)
		return NULL;
	err = bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	if (err)
		*why = row_return(gate, generation, err, payers->first, payers->second);
	return bpf_map_lookup_elem(map, key);
}

/*
 * Finds the row of a key of this generation, or adds it, for the running task's
 * user and its cgroup. NULL means that there is none, and "why" says which
 * overflow row is to be used.
 */
static __always_inline void *row_of_task(void *map, const void *key, __u64 generation,
					 const void *zero, struct row_gate *gate, __u64 limit,
					 enum row_generation *why)
{
	void *row = bpf_map_lookup_elem(map, key);
	struct row_payers payers;

	if (row)
		return row;
	*why = ROW_MAP_FULL;
	if (row_none_left(gate, generation, limit))
		return NULL;
	row_payers_of_current(&payers);
	return row_add(map, key, generation, zero, gate, limit, &payers, why);
}

/* The same where no task is to be charged, but a number that is not 0. */
static __always_inline void *row_of_payer(void *map, const void *key, __u64 generation,
					  const void *zero, struct row_gate *gate, __u64 limit,
					  __u64 payer, enum row_generation *why)
{
	void *row = bpf_map_lookup_elem(map, key);
	struct row_payers payers = {.first = payer};

	if (row)
		return row;
	*why = ROW_MAP_FULL;
	if (row_none_left(gate, generation, limit))
		return NULL;
	return row_add(map, key, generation, zero, gate, limit, &payers, why);
}

#endif
