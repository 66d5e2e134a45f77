//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The page cache the textbook way: a hash of the pages that were added and not
 * used yet, by file and page, which every page that is read or written is
 * looked up in, and a hash of counts by what happened.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "textbook.bpf.h"

#define CACHESTAT_MOST 512 /* pages of one event */

struct cachestat_page {
	__u64 mapping;
	__u64 index;
};

enum cachestat_event {
	CACHESTAT_HIT,
	CACHESTAT_MISS,
	CACHESTAT_ADD,
	CACHESTAT_DIRTY,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, struct cachestat_page);
	__type(value, __u64);
} cachestat_fresh SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, enum cachestat_event);
	__type(value, __u64);
} cachestat_events SEC(".maps");

static __always_inline void cachestat_count(enum cachestat_event event)
{
	textbook_increment(&cachestat_events, &event);
}

static __always_inline __u64 cachestat_pages(struct folio *folio)
{
	unsigned long flags = *(unsigned long *)folio;

	if (!(flags >> bpf_core_enum_value(enum pageflags, PG_head) & 1))
		return 1;
	return 1ULL << (folio->_flags_1 & 31);
}

SEC("tp_btf/mm_filemap_add_to_page_cache")
int BPF_PROG(cachestat_add, struct folio *folio)
{
	struct cachestat_page page = {(__u64)folio->mapping, folio->index};
	__u64 pages = cachestat_pages(folio), one = 1;

	for (int i = 0; i < CACHESTAT_MOST && i < pages; i++) {
		bpf_map_update_elem(&cachestat_fresh, &page, &one, BPF_ANY);
		cachestat_count(CACHESTAT_ADD);
		page.index++;
	}
	return 0;
}

SEC("tp_btf/writeback_dirty_folio")
int BPF_PROG(cachestat_dirty, struct folio *folio)
{
	struct cachestat_page page = {(__u64)folio->mapping, folio->index};
	__u64 pages = cachestat_pages(folio);

	for (int i = 0; i < CACHESTAT_MOST && i < pages; i++) {
		bpf_map_delete_elem(&cachestat_fresh, &page);
		cachestat_count(CACHESTAT_DIRTY);
		page.index++;
	}
	return 0;
}

SEC("tp_btf/mm_filemap_get_pages")
int BPF_PROG(cachestat_read, struct address_space *mapping, unsigned long index, unsigned long last)
{
	struct cachestat_page page = {(__u64)mapping, index};

	for (int i = 0; i < CACHESTAT_MOST && page.index <= last; i++) {
		if (bpf_map_lookup_elem(&cachestat_fresh, &page)) {
			bpf_map_delete_elem(&cachestat_fresh, &page);
			cachestat_count(CACHESTAT_MISS);
		} else {
			cachestat_count(CACHESTAT_HIT);
		}
		page.index++;
	}
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
