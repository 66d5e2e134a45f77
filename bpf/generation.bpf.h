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
	ROW_SHARE_FULL, /* the user or cgroup has its share of them */
	ROW_NO_MEMORY,
	ROW_BUSY, /* the map was being changed by what was interrupted */
	ROW_GENERATION = 16, /* the first */
};

#define ROW_SHARES 256

/* What the kernel answers, by errno. */
#define ROW_E2BIG 7
#define ROW_ENOMEM 12

/*
 * How many rows were added in a generation. The generation is in the upper half
 * of each number, so that the first to count in a new one begins anew.
 */
struct row_gate {
	__u64 all;
	__u64 by[ROW_SHARES]; /* users and cgroups, by hash: some share a share */
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

static __always_inline __u64 *row_share(struct row_gate *gate, __u64 generation, __u64 whose)
{
	return &gate->by[(whose ^ generation << 40) * 0x9e3779b97f4a7c15 >> 56];
}

/* Who adds a row: a user but for root, and a cgroup but for the root of all. */
static __always_inline void row_payers(struct row_gate *gate, __u64 generation, __u64 **user,
				       __u64 **group)
{
	__u32 uid = bpf_get_current_uid_gid();
	struct cgroup_key cgroup = {};

	cgroup_of_current(&cgroup);
	*user = uid ? row_share(gate, generation, uid | 1ull << 32) : NULL;
	*group = cgroup.id > 1
			 ? row_share(gate, generation, cgroup.id ^ (__u64)cgroup.hierarchy << 56)
			 : NULL;
}

/* Takes a row of everything that it counts for. Returns 0, or why there is none. */
static __noinline long row_admit(struct row_gate *gate, __u64 generation, __u64 limit)
{
	__u64 *user, *group;

	/* Asked first, as it is cheap: a storm of names ends here. */
	if (gate->all >> 32 == generation && (__u32)gate->all >= limit)
		return ROW_MAP_FULL;
	row_payers(gate, generation, &user, &group);
	if (user && !row_take(user, generation, limit / 4))
		return ROW_SHARE_FULL;
	if (group && !row_take(group, generation, limit / 4)) {
		if (user)
			__sync_fetch_and_add(user, -1);
		return ROW_SHARE_FULL;
	}
	if (row_take(&gate->all, generation, limit))
		return 0;
	if (user)
		__sync_fetch_and_add(user, -1);
	if (group)
		__sync_fetch_and_add(group, -1);
	return ROW_MAP_FULL;
}

/*
 * Gives back what was taken for a row that another CPU added first, or that the
 * kernel could not add. Returns why, if there is still none: the next event asks
 * again.
 */
static __noinline long row_return(struct row_gate *gate, __u64 generation, long err)
{
	__u64 *user, *group;

	row_payers(gate, generation, &user, &group);
	__sync_fetch_and_add(&gate->all, -1);
	if (user)
		__sync_fetch_and_add(user, -1);
	if (group)
		__sync_fetch_and_add(group, -1);
	switch (err) {
	case -ROW_E2BIG:
		return ROW_MAP_FULL;
	case -ROW_ENOMEM:
		return ROW_NO_MEMORY;
	}
	return ROW_BUSY;
}

/*
 * Finds the row of a key of this generation, or adds it as a copy of "zero".
 * One user, and one cgroup, may add a quarter of "limit" rows. NULL means that
 * there is none, and "why" says which overflow row is to be used.
 */
static __always_inline void *row_of_generation(void *map, const void *key, __u64 generation,
					       const void *zero, struct row_gate *gate, __u64 limit,
					       enum row_generation *why)
{
	void *row = bpf_map_lookup_elem(map, key);
	long err;

	if (row)
		return row;
	*why = row_admit(gate, generation, limit);
	if (*why)
		return NULL;
	err = bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	if (err)
		*why = row_return(gate, generation, err);
	return bpf_map_lookup_elem(map, key);
}

#endif
