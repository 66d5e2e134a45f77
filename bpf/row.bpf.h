/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_ROW_BPF_H
#define KERNSCOPE_ROW_BPF_H

/*
 * Finds the row of a key, or creates it as a copy of "zero". NULL means the
 * map is full (or, rarely, memory ran out): the caller counts that as lost and
 * uses the row that user space has reserved for what does not fit. For tables
 * whose rows are bounded by the machine; where anybody can add rows, see
 * generation.bpf.h.
 */
static __always_inline void *row_of(void *map, const void *key, const void *zero)
{
	void *row = bpf_map_lookup_elem(map, key);

	if (row)
		return row;
	bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

#endif
