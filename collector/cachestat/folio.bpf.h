/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_CACHESTAT_FOLIO_BPF_H
#define KERNSCOPE_CACHESTAT_FOLIO_BPF_H

/* Which pages of which file the kernel means, in folios or before there were any. */
#include "read.bpf.h"
#include "marks.bpf.h"

/* For tests: the device of the file system whose regular files alone count; 0 is all. */
const volatile __u32 cachestat_only;
#define CACHESTAT_S_IFMT 0170000
#define CACHESTAT_S_IFREG 0100000

/* Before Linux 5.16 tracepoints of the page cache are given pages, not folios. */
struct page___cache {
	struct address_space *mapping;
	unsigned long index;
} __attribute__((preserve_access_index));

/* ebc1baf5c9b4 "mm: free up a word in the first tail page": in _flags_1 since. */
struct folio___order {
	unsigned char _folio_order;
} __attribute__((preserve_access_index));

struct page___order {
	unsigned char compound_order;
} __attribute__((preserve_access_index));

static __always_inline __u32 cachestat_order(bool typed, struct folio *folio)
{
	struct folio___order *old = (void *)folio;
	struct page___order *tail;
	unsigned long flags = 0;

	/* The first word, on every kernel and under whatever type. */
	if (typed)
		flags = *(unsigned long *)folio;
	else
		bpf_probe_read_kernel(&flags, sizeof(flags), folio);
	if (!(flags >> bpf_core_enum_value(enum pageflags, PG_head) & 1))
		return 0;
	if (bpf_core_field_exists(old->_folio_order))
		return FIELD(typed, old, _folio_order) & 31;
	if (bpf_core_field_exists(folio->_flags_1))
		return FIELD(typed, folio, _flags_1) & 31;
	/* 379708ffde1b "mm: add the first tail page to struct folio": in that page before. */
	tail = (void *)folio + bpf_core_type_size(struct page___order);
	return FIELD(false, tail, compound_order) & 31;
}

/*
 * A number for a file's cache: the inode's, and the lower half of the address,
 * since no more of a pointer can be had as a number. 0 if it does not count.
 */
static __always_inline __u64 cachestat_file(bool typed, struct address_space *mapping)
{
	struct inode *inode = FIELD(typed, mapping, host);
	struct super_block *sb;
	__u32 address;

	if (cachestat_only) {
		sb = FIELD(typed, inode, i_sb);
		if (FIELD(typed, sb, s_dev) != cachestat_only ||
		    (FIELD(typed, inode, i_mode) & CACHESTAT_S_IFMT) != CACHESTAT_S_IFREG)
			return 0;
	}
	/* clang would shift the upper half away, which is not allowed on pointers */
	asm("%0 = %1" : "=w"(address) : "w"((__u32)(unsigned long)mapping));
	return FIELD(typed, inode, i_ino) * 0xbf58476d1ce4e5b9 + address;
}

/* The pages of a folio, or a single page on kernels without folios; none if they do not count. */
static __always_inline struct cachestat_range cachestat_range_of(bool typed, void *object)
{
	struct page___cache *page = object;
	struct folio *folio = object;
	struct address_space *mapping;
	struct cachestat_range range;

	if (bpf_core_type_exists(struct folio)) {
		mapping = FIELD(typed, folio, mapping);
		range.index = FIELD(typed, folio, index);
		range.count = 1 << cachestat_order(typed, folio);
	} else {
		mapping = FIELD(typed, page, mapping);
		range.index = FIELD(typed, page, index);
		range.count = 1;
	}
	range.file = cachestat_file(typed, mapping);
	if (!range.file)
		range.count = 0;
	return range;
}

#endif
