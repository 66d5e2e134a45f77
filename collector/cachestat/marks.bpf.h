/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_CACHESTAT_MARKS_BPF_H
#define KERNSCOPE_CACHESTAT_MARKS_BPF_H

/*
 * A mark for every page of the page cache that was added and not read or
 * written since: for the latest chunks of files that got one, as the table has
 * a fixed size and a new chunk takes the row of an older one.
 */
#define CACHESTAT_CHUNK 64 /* pages of a row of marks */
#define CACHESTAT_ROW_BITS 14
#define CACHESTAT_LARGEST 128 /* chunks of the largest folio: 512 MiB of 64 KiB pages */
#define CACHESTAT_STRIDE 128 /* chunks that are looked at in one go */
#define CACHESTAT_STRIDES 64

struct cachestat_range {
	__u64 file;
	__u64 index;
	__u64 count;
};

/* A byte per page, not a bit: CPUs that mark neighbours need no atomics. */
struct cachestat_marks {
	__u64 tag;
	union {
		__u8 page[CACHESTAT_CHUNK];
		__u64 word[CACHESTAT_CHUNK / 8];
	};
};

/* A chunk's tag says which row its marks are in. The newest chunk has the row. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << CACHESTAT_ROW_BITS);
	__type(key, __u32);
	__type(value, struct cachestat_marks);
} cachestat_marks SEC(".maps");

/* A chunk of a file has one tag; that two share one is as good as impossible. */
static __always_inline __u64 cachestat_tag(__u64 file, __u64 chunk)
{
	return (file + chunk * 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93;
}

static __always_inline struct cachestat_marks *cachestat_row(__u64 tag)
{
	__u32 row = tag >> (64 - CACHESTAT_ROW_BITS);

	return bpf_map_lookup_elem(&cachestat_marks, &row);
}

static __always_inline __u64 cachestat_marked(struct cachestat_marks *m)
{
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < CACHESTAT_CHUNK / 8; i++)
		sum += m->word[i];
	return sum * 0x0101010101010101 >> 56; /* the sum of its bytes, none above 8 */
}

static __always_inline void cachestat_set(struct cachestat_marks *m, __u64 word)
{
#pragma unroll
	for (int i = 0; i < CACHESTAT_CHUNK / 8; i++)
		m->word[i] = word;
}

/* The marks of a chunk; NULL if there are none. */
static __always_inline struct cachestat_marks *cachestat_find(__u64 file, __u64 chunk)
{
	__u64 tag = cachestat_tag(file, chunk);
	struct cachestat_marks *m = cachestat_row(tag);

	return m && m->tag == tag && cachestat_marked(m) ? m : NULL;
}

/* Removes the mark of a page; returns how many there were. */
static __always_inline __u64 cachestat_take_page(__u64 file, __u64 index)
{
	__u64 tag = cachestat_tag(file, index / CACHESTAT_CHUNK), i = index % CACHESTAT_CHUNK;
	struct cachestat_marks *m = cachestat_row(tag);

	if (!m || m->tag != tag || !m->page[i])
		return 0;
	m->page[i] = 0;
	return 1;
}

/*
 * Removes the marks of a part of a chunk; returns how many there were. A
 * function of its own, as the next: the verifier looks at each only once.
 */
__noinline __u64 cachestat_take_part(__u64 file, __u64 index, __u64 count)
{
	struct cachestat_marks *m = cachestat_find(file, index / CACHESTAT_CHUNK);
	__u64 i = index % CACHESTAT_CHUNK, end = i + count, taken = 0;

	if (!m)
		return 0;
	for (; i < end && i < CACHESTAT_CHUNK; i++) {
		taken += m->page[i];
		*(volatile __u8 *)&m->page[i] = 0; /* volatile: there is no memset */
	}
	return taken;
}

/* Removes the marks of a whole chunk; returns how many there were. */
__noinline __u64 cachestat_take_chunk(__u64 file, __u64 chunk)
{
	struct cachestat_marks *m = cachestat_find(file, chunk);
	__u64 taken;

	if (!m)
		return 0;
	taken = cachestat_marked(m);
	cachestat_set(m, 0);
	return taken;
}

/* Removes the marks of some chunks; returns how many there were. */
__noinline __u64 cachestat_take_chunks(__u64 file, __u64 chunk, __u64 count)
{
	__u64 taken = 0;

	for (__u32 i = 0; i < CACHESTAT_STRIDE && i < count; i++)
		taken += cachestat_take_chunk(file, chunk + i);
	return taken;
}

/*
 * Removes the marks of a range of pages; returns how many there were. The range
 * may be as long as the longest read there is, 2 GiB (MAX_RW_COUNT).
 */
__noinline __u64 cachestat_take(__u64 file, __u64 index, __u64 count)
{
	__u64 part = CACHESTAT_CHUNK - index % CACHESTAT_CHUNK, taken = 0, chunks;

	if (part < CACHESTAT_CHUNK || count < CACHESTAT_CHUNK) {
		if (part > count)
			part = count;
		taken = cachestat_take_part(file, index, part);
		index += part;
		count -= part;
	}
	chunks = count / CACHESTAT_CHUNK;
	for (__u32 i = 0; i < CACHESTAT_STRIDES && i * CACHESTAT_STRIDE < chunks; i++)
		taken += cachestat_take_chunks(file, index / CACHESTAT_CHUNK + i * CACHESTAT_STRIDE,
					       chunks - i * CACHESTAT_STRIDE);
	if (count % CACHESTAT_CHUNK)
		taken += cachestat_take_part(file, index + chunks * CACHESTAT_CHUNK,
					     count % CACHESTAT_CHUNK);
	return taken;
}

/* The row of a chunk; the marks of another chunk that it had are forgotten. */
static __always_inline struct cachestat_marks *cachestat_claim(__u64 *forgotten, __u64 file,
							       __u64 chunk)
{
	__u64 tag = cachestat_tag(file, chunk);
	struct cachestat_marks *m = cachestat_row(tag);

	if (m && m->tag != tag) {
		*forgotten = cachestat_marked(m);
		cachestat_set(m, 0);
		m->tag = tag;
	}
	return m;
}

/* Marks a part of a chunk; returns how many marks that forgot. */
__noinline __u64 cachestat_mark_part(__u64 file, __u64 index, __u64 count)
{
	__u64 i = index % CACHESTAT_CHUNK, end = i + count, forgotten = 0;
	struct cachestat_marks *m = cachestat_claim(&forgotten, file, index / CACHESTAT_CHUNK);

	for (; m && i < end; i++) {
		/* Without it, the compiler makes a limit that old verifiers do not follow. */
		barrier_var(i);
		if (i >= CACHESTAT_CHUNK)
			break;
		*(volatile __u8 *)&m->page[i] = 1;
	}
	return forgotten;
}

/* Marks a whole chunk; returns how many marks that forgot. */
__noinline __u64 cachestat_mark_chunk(__u64 file, __u64 chunk)
{
	__u64 forgotten = 0;
	struct cachestat_marks *m = cachestat_claim(&forgotten, file, chunk);

	if (m)
		cachestat_set(m, 0x0101010101010101);
	return forgotten;
}

/*
 * Marks a folio's pages, which are a part of a chunk or some whole chunks;
 * returns how many marks that forgot.
 */
static __always_inline __u64 cachestat_mark(const struct cachestat_range *range)
{
	__u64 forgotten = 0;

	if (range->count < CACHESTAT_CHUNK)
		return cachestat_mark_part(range->file, range->index, range->count);
	for (__u32 i = 0; i < CACHESTAT_LARGEST && i < range->count / CACHESTAT_CHUNK; i++)
		forgotten += cachestat_mark_chunk(range->file, range->index / CACHESTAT_CHUNK + i);
	return forgotten;
}

#endif
