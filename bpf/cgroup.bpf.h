/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_CGROUP_BPF_H
#define KERNSCOPE_CGROUP_BPF_H

#include "read.bpf.h"

/* A cgroup, for as long as the machine runs: ids are not given out twice. */
struct cgroup_key {
	__u64 id; /* the inode number of its directory */
	__u32 hierarchy; /* as in /proc/self/cgroup: 0 is version 2 */
} __attribute__((packed, aligned(4)));

/*
 * The cgroup of a set in the version 1 hierarchy of a controller. False if the
 * controller has none, or the cgroup is its root, which says nothing.
 */
static __always_inline bool cgroup_of_controller(bool typed, struct css_set *set, __u64 controller,
						 struct cgroup_key *key)
{
	struct cgroup_subsys_state **states = set->subsys, *state;
	struct cgroup_root *root;
	struct cgroup *cgroup;
	struct kernfs_node *node;

	if (typed)
		state = states[controller];
	else
		bpf_core_read(&state, sizeof(state), &states[controller]);
	cgroup = FIELD(typed, state, cgroup);
	root = FIELD(typed, cgroup, root);
	key->hierarchy = FIELD(typed, root, hierarchy_id);
	if (!key->hierarchy || !FIELD(typed, cgroup, level))
		return false;
	node = FIELD(typed, cgroup, kn);
	key->id = FIELD(typed, node, id);
	return true;
}

static __always_inline void cgroup_of_task(bool typed, struct task_struct *task,
					   struct cgroup_key *key)
{
	struct css_set *set = FIELD(typed, task, cgroups);
	struct cgroup *cgroup;
	struct kernfs_node *node;

	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id) &&
	    cgroup_of_controller(typed, set,
				 bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id), key))
		return;
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id) &&
	    cgroup_of_controller(typed, set,
				 bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id), key))
		return;
	cgroup = FIELD(typed, set, dfl_cgrp);
	node = FIELD(typed, cgroup, kn);
	key->hierarchy = 0;
	key->id = FIELD(typed, node, id);
}

/*
 * The current task's cgroup. Where version 1 has a hierarchy for processes or
 * memory, containers and services are there, and need not be in version 2.
 */
static __always_inline void cgroup_of_current(struct cgroup_key *key)
{
	/* 3ca1032ab7ab "bpf: Implement get_current_task_btf and RET_PTR_TO_BTF_ID" */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		cgroup_of_task(true, bpf_get_current_task_btf(), key);
	else
		cgroup_of_task(false, (void *)bpf_get_current_task(), key);
}

#endif
