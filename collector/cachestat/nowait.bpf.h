/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_CACHESTAT_NOWAIT_BPF_H
#define KERNSCOPE_CACHESTAT_NOWAIT_BPF_H

/*
 * Reads that end where the next page would have to be waited for, and the pages
 * they get: those that are there, one after the other.
 */
#include "folio.bpf.h"

#define CACHESTAT_BATCH 31 /* folios that a read looks up at once: PAGEVEC_SIZE, or more */

/* include/linux/xarray.h */
struct xa_node {
	unsigned char shift;
	void *slots[64];
} __attribute__((preserve_access_index));

struct xarray {
	void *xa_head;
} __attribute__((preserve_access_index));

struct address_space___pages {
	struct xarray i_pages;
} __attribute__((preserve_access_index));

/* An entry of the tree of pages that is a node of it: the lowest bits say so. */
static __always_inline struct xa_node *cachestat_node(__u64 entry)
{
	return (entry & 3) == 2 && entry > 4096 ? (void *)(entry - 2) : NULL;
}

/*
 * Where the folio ends that holds a page, from the head of a file's tree of
 * pages; 0 if the page is not there, or not up to date.
 */
__noinline __u64 cachestat_folio_end(__u64 entry, __u64 index)
{
	__u64 slot, flags = 0, begin, end;
	struct xa_node *node;
	struct folio *folio;

	for (int level = 0; level < 11 && (node = cachestat_node(entry)); level++) {
		slot = index >> (BPF_CORE_READ(node, shift) & 63) & 63;
		entry = 0;
		bpf_core_read(&entry, sizeof(entry), &node->slots[slot]);
		if ((entry & 3) == 2 && entry >> 2 < 64) /* it is where this slot's is */
			bpf_core_read(&entry, sizeof(entry), &node->slots[entry >> 2 & 63]);
	}
	if (!entry || entry & 3)
		return 0;
	folio = (void *)entry;
	bpf_probe_read_kernel(&flags, sizeof(flags), folio);
	begin = BPF_CORE_READ(folio, index);
	end = begin + (1ULL << cachestat_order(false, folio));
	if (!(flags >> bpf_core_enum_value(enum pageflags, PG_uptodate) & 1) || index < begin)
		return 0;
	return index < end ? end : 0;
}

/*
 * Where the pages end that are there, from one that a read has got, in one batch
 * of folios; "entry" is the head of the file's tree of pages. The verifier looks
 * at the function once.
 */
__noinline __u64 cachestat_there_until(__u64 entry, __u64 index, __u64 end)
{
	__u64 begin = index, next;

	for (int i = 0; i < CACHESTAT_BATCH && index < end; i++) {
		next = cachestat_folio_end(entry, index);
		if (!next)
			break;
		index = next;
	}
	if (index == begin) /* it has gone since */
		index++;
	return index < end ? index : end;
}

static __always_inline __u64 cachestat_there(struct address_space *mapping, __u64 index, __u64 end)
{
	struct address_space___pages *pages = (void *)mapping;
	__u64 head = 0;

	/* By the helper: the verifier would take it for a pointer. */
	bpf_core_read(&head, sizeof(head), &pages->i_pages.xa_head);
	return cachestat_there_until(head, index, end);
}

#endif
