/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_ROW_BPF_H
#define KERNSCOPE_ROW_BPF_H

/*
 * Finds the row of a key, or creates it as a copy of "zero". NULL means the
 * map is full (or, rarely, memory ran out): the caller counts that as lost and
 * uses the row that user space has reserved for what does not fit.
 */
static __always_inline void *row_of(void *map, const void *key, const void *zero)
{
	void *row = bpf_map_lookup_elem(map, key);

	if (row)
		return row;
	bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/* How long a full map is not asked for room again: 0.25 to 2.5 s, by the kernel's HZ. */
#define ROW_RETRY 250

/*
 * The same, where newcomers are frequent: to find a map full takes a lock that
 * all CPUs share, so when that was is remembered in "full".
 */
static __always_inline void *row_unless_full(void *map, const void *key, const void *zero,
					     __u64 *full)
{
	void *row = bpf_map_lookup_elem(map, key);
	__u64 now;

	if (row)
		return row;
	now = bpf_jiffies64();
	if (now - *full < ROW_RETRY)
		return NULL;
	bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	row = bpf_map_lookup_elem(map, key);
	if (!row)
		*full = now;
	return row;
}

#endif
