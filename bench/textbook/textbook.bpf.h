/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_TEXTBOOK_BPF_H
#define KERNSCOPE_TEXTBOOK_BPF_H

/* What bcc's tables and histograms compile to. */

#define TEXTBOOK_ENTRIES 10240 /* the default size of bcc's tables */

static __always_inline __u32 textbook_log2(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) {
		r = 32;
		v >>= 32;
	}
	if (v >> 16) {
		r += 16;
		v >>= 16;
	}
	if (v >> 8) {
		r += 8;
		v >>= 8;
	}
	if (v >> 4) {
		r += 4;
		v >>= 4;
	}
	if (v >> 2) {
		r += 2;
		v >>= 2;
	}
	return r + (v >> 1);
}

/* Adds one to a key's count. */
static __always_inline void textbook_increment(void *map, const void *key)
{
	__u64 *count = bpf_map_lookup_elem(map, key), zero = 0;

	if (!count) {
		bpf_map_update_elem(map, key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(map, key);
		if (!count)
			return;
	}
	__sync_fetch_and_add(count, 1);
}

#endif
