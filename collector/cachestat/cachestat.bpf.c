//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The page cache, in pages: buffered reads found a page there (hit) or had it
 * brought in (miss); pages that were added, and pages that became dirty.
 *
 * A page is a miss when it is read for the first time since it was added, be
 * it added by this read or by readahead before it: reading N pages cold is N
 * misses, in any order, by any number of tasks, and reading them again N hits.
 * To know the first time, a table holds a mark for every page that was added
 * and not read or written since. Reads are seen as they end, with what they
 * got; where functions cannot be traced, by a tracepoint on their way.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "regs.bpf.h"
#include "folio.bpf.h"
#include "nowait.bpf.h"
#include "call.bpf.h"

/* log2 of the size of a page. */
const volatile __u32 cfg_page_shift = 12;

struct cachestat_counts {
	__u64 hits;
	__u64 misses;
	__u64 adds;
	__u64 dirties;
	__u64 forgotten;
};

/* A task's latest read, for the tracepoint. */
struct cachestat_read {
	__u64 file;
	__u64 index; /* where the latest batch of pages began */
	__u64 last;
	__u64 calls; /* the task's read calls before this one */
	__u64 begin; /* the pages from here to the end are not settled */
	__u64 end;
	__u64 due; /* how many of them are hits unless this read still adds them */
};

struct {
	__u64 task_table_full; /* reads that could not be remembered: their pages are not counted */
} losses;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cachestat_counts);
} cachestat_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cachestat_read);
} cachestat_task SEC(".maps");

/* A read under way, by thread, for kprobes. LRU: a return may be missed. */
struct cachestat_start {
	__u64 file;
	__u64 pos;
	__s64 already;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct cachestat_start);
} cachestat_starts SEC(".maps");

static __always_inline struct cachestat_counts *cachestat_count(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cachestat_counts, &zero);
}

/* An atomic addition takes its time, also of nothing. */
static __always_inline void cachestat_increase(__u64 *count, __u64 by)
{
	if (by)
		__sync_fetch_and_add(count, by);
}

static __always_inline int cachestat_add(bool typed, void *folio)
{
	struct cachestat_range range = cachestat_range_of(typed, folio);
	struct cachestat_counts *counts = cachestat_count();

	if (!counts || !range.count)
		return 0;
	__sync_fetch_and_add(&counts->adds, range.count);
	cachestat_increase(&counts->forgotten, cachestat_mark(&range));
	return 0;
}

/* A page that was written is not read from disk for its reader. */
static __always_inline int cachestat_dirty(bool typed, void *folio)
{
	struct cachestat_range range = cachestat_range_of(typed, folio);
	struct cachestat_counts *counts = cachestat_count();

	if (!counts || !range.count)
		return 0;
	__sync_fetch_and_add(&counts->dirties, range.count);
	cachestat_take(range.file, range.index, range.count);
	return 0;
}

SEC("tp_btf/mm_filemap_add_to_page_cache")
int BPF_PROG(cachestat_add_typed, void *folio)
{
	return cachestat_add(true, folio);
}

SEC("raw_tp/mm_filemap_add_to_page_cache")
int BPF_PROG(cachestat_add_raw, void *folio)
{
	return cachestat_add(false, folio);
}

SEC("tp_btf/writeback_dirty_folio")
int BPF_PROG(cachestat_dirty_folio_typed, void *folio)
{
	return cachestat_dirty(true, folio);
}

SEC("raw_tp/writeback_dirty_folio")
int BPF_PROG(cachestat_dirty_folio_raw, void *folio)
{
	return cachestat_dirty(false, folio);
}

/* The same before Linux 5.16. */
SEC("tp_btf/writeback_dirty_page")
int BPF_PROG(cachestat_dirty_page_typed, void *page)
{
	return cachestat_dirty(true, page);
}

SEC("raw_tp/writeback_dirty_page")
int BPF_PROG(cachestat_dirty_page_raw, void *page)
{
	return cachestat_dirty(false, page);
}

/* Pages that were read. */
static __always_inline void cachestat_got(struct cachestat_counts *counts,
					  const struct cachestat_range *range)
{
	__u64 misses = range->count == 1 ? cachestat_take_page(range->file, range->index)
					 : cachestat_take(range->file, range->index, range->count);

	cachestat_increase(&counts->misses, misses);
	cachestat_increase(&counts->hits, range->count - misses);
}

/* A read that got some bytes, from the position "pos" of the file on. */
static __always_inline int cachestat_read(__u64 file, __u64 pos, __s64 got)
{
	struct cachestat_counts *counts = cachestat_count();
	struct cachestat_range range = {file};

	if (got <= 0 || !counts || !file)
		return 0;
	range.index = pos >> cfg_page_shift;
	range.count = ((pos + got - 1) >> cfg_page_shift) - range.index + 1;
	cachestat_got(counts, &range);
	return 0;
}

/* What the function returns includes "already", which direct I/O got before it. */
static __always_inline int cachestat_read_typed(struct kiocb *iocb, __s64 already, __s64 ret)
{
	__s64 got = ret - already;

	return cachestat_read(cachestat_file(true, iocb->ki_filp->f_mapping), iocb->ki_pos - got,
			      got);
}

SEC("fexit/filemap_read")
int BPF_PROG(cachestat_read_exit, struct kiocb *iocb, struct iov_iter *iter, long already, long ret)
{
	return cachestat_read_typed(iocb, already, ret);
}

/* 87fa0f3eb267 "mm/filemap: rename generic_file_buffered_read to filemap_read" */
SEC("fexit/generic_file_buffered_read")
int BPF_PROG(cachestat_read_exit_old, struct kiocb *iocb, struct iov_iter *iter, long already,
	     long ret)
{
	return cachestat_read_typed(iocb, already, ret);
}

/* splice() and sendfile() came by filemap_read before this function was there. */
SEC("fexit/filemap_splice_read")
int BPF_PROG(cachestat_splice_exit, struct file *file, long long *pos, void *pipe,
	     unsigned long length, unsigned int flags, long ret)
{
	long long end = 0;

	bpf_probe_read_kernel(&end, sizeof(end), pos);
	return cachestat_read(cachestat_file(true, file->f_mapping), end - ret, ret);
}

static __always_inline int cachestat_start(void *ctx)
{
	struct kiocb *iocb = (void *)REGS_ARG1(ctx);
	struct cachestat_start start = {};
	__u32 tid = bpf_get_current_pid_tgid();

	start.file = cachestat_file(false, BPF_CORE_READ(iocb, ki_filp, f_mapping));
	start.pos = FIELD(false, iocb, ki_pos);
	start.already = REGS_ARG3(ctx);
	if (bpf_map_update_elem(&cachestat_starts, &tid, &start, BPF_ANY))
		__sync_fetch_and_add(&losses.task_table_full, 1);
	return 0;
}

static __always_inline int cachestat_end(void *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct cachestat_start *start = bpf_map_lookup_elem(&cachestat_starts, &tid);

	if (!start) /* under way since before the program was there */
		return 0;
	cachestat_read(start->file, start->pos, (__s64)REGS_RESULT(ctx) - start->already);
	bpf_map_delete_elem(&cachestat_starts, &tid);
	return 0;
}

SEC("kprobe/filemap_read")
int cachestat_read_start(void *ctx)
{
	return cachestat_start(ctx);
}

SEC("kretprobe/filemap_read")
int cachestat_read_end(void *ctx)
{
	return cachestat_end(ctx);
}

SEC("kprobe/generic_file_buffered_read")
int cachestat_read_start_old(void *ctx)
{
	return cachestat_start(ctx);
}

SEC("kretprobe/generic_file_buffered_read")
int cachestat_read_end_old(void *ctx)
{
	return cachestat_end(ctx);
}

/* Settles the pages of a read up to one, all of which it got. */
static __always_inline void cachestat_got_until(struct cachestat_counts *counts,
						struct cachestat_read *read, __u64 index)
{
	struct cachestat_range range = {read->file, read->begin, index - read->begin};

	if (index <= read->begin) /* the file has grown, or shrunk, under the read */
		return;
	cachestat_got(counts, &range);
	read->begin = index;
}

/*
 * Of the pages that are due, those that have a mark by now were brought in. The
 * read has come to the page "index".
 */
static __always_inline void cachestat_look(struct cachestat_counts *counts,
					   struct cachestat_read *read, __u64 index)
{
	__u64 misses;

	if (!read->due)
		return;
	misses = cachestat_take(read->file, read->begin, read->end - read->begin);
	if (misses > read->due)
		misses = read->due;
	read->due -= misses;
	read->begin = read->due && index < read->end ? index : read->end;
	cachestat_increase(&counts->misses, misses);
}

/* When a read is over, what still has no mark was there. */
static __always_inline void cachestat_finish(struct cachestat_counts *counts,
					     struct cachestat_read *read)
{
	cachestat_look(counts, read, read->end);
	cachestat_increase(&counts->hits, read->due);
	read->due = 0;
}

/*
 * The page from which on the task's read of the file, which has this size,
 * gets all that comes before its first report, at "index". "last" is where the
 * same call's read before ended, 0 if there was none. The verifier looks at the
 * function once, which takes a fifth of the time.
 */
__noinline __u64 cachestat_begin(__u64 file, __u64 size, __u64 last, __u64 index)
{
	struct cachestat_call call = cachestat_call_of(bpf_get_current_task_btf());
	__u64 begin;

	if (!call.reads)
		return index;
	begin = cachestat_call_position(&call) >> cfg_page_shift;
	/* The next read begins where the last one ended, in the middle of a page maybe. */
	if (last && call.reads & CACHESTAT_MANY && last >= begin && last <= index + 1)
		return last;
	return begin < index && cachestat_call_reads(&call, file, size) ? begin : index;
}

/*
 * The tracepoint fires for every batch of pages that a read has found or
 * brought in, with what is left of its range. A batch whose last page had to be
 * waited for is not reported; the read got it if it reports what follows. At
 * the first report, pages without a mark are hits if they are there, and misses
 * to be if not; which is known when they get a mark before the same read
 * reports again, or the task moves on.
 *
 * A read that does not wait may get less than its range, so of that one only
 * pages count that are there as it reports, and those before its next report.
 */
SEC("tp_btf/mm_filemap_get_pages")
int BPF_PROG(cachestat_get_pages, struct address_space *mapping, unsigned long index,
	     unsigned long last)
{
	__u64 file = cachestat_file(true, mapping), size = mapping->host->i_size, pages, begin;
	struct cachestat_counts *counts = cachestat_count();
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 calls = task->ioac.syscr;
	struct cachestat_read *read;
	bool again;

	pages = (size >> cfg_page_shift) + !!(size & ((1ULL << cfg_page_shift) - 1));
	if (index >= pages || !counts || !file)
		return 0;
	read = bpf_task_storage_get(&cachestat_task, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!read) {
		__sync_fetch_and_add(&losses.task_table_full, 1);
		return 0;
	}
	again = read->file == file && read->calls == calls;
	if (again && read->last == last && read->index < index) {
		read->index = index;
		if (read->due) {
			cachestat_look(counts, read, index);
		} else if (read->begin < read->end) {
			/* What was there before may be in this batch, with more. */
			cachestat_got_until(counts, read, index);
			cachestat_got_until(counts, read,
					    cachestat_there(mapping, index, read->end));
		}
		return 0;
	}
	cachestat_finish(counts, read);
	begin = cachestat_begin(file, size, again ? read->end : 0, index);
	read->file = file;
	read->index = index;
	read->last = last;
	read->calls = calls;
	read->begin = begin;
	read->end = last < pages ? last + 1 : pages;
	cachestat_got_until(counts, read, index);
	/* A single page is there now; of a file that is wholly there, all are. */
	if (read->end == index + 1 || mapping->nrpages >= pages) {
		cachestat_got_until(counts, read, read->end);
	} else if (cachestat_may_not_wait()) {
		cachestat_got_until(counts, read, cachestat_there(mapping, index, read->end));
	} else if (read->begin < read->end) {
		read->due = read->end - read->begin;
		cachestat_look(counts, read, index);
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(cachestat_task_exit, struct task_struct *task)
{
	struct cachestat_read *read = bpf_task_storage_get(&cachestat_task, task, 0, 0);
	struct cachestat_counts *counts = cachestat_count();

	if (read && counts)
		cachestat_finish(counts, read);
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
