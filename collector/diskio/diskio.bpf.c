//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Disk I/O latency, from the creation of a request to its final completion,
 * per device and operation. One program at completion: the request carries its
 * own timestamps, so nothing is remembered in between. Devices that have no
 * requests (zram, device mapper, md, the head of NVMe multipath) are measured
 * from the submission of a bio to its end, which does need a table of the bios
 * under way.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "hist.bpf.h"
#include "read.bpf.h"
#include "row.bpf.h"
#include "disk.bpf.h"
#include "bios.bpf.h"

struct diskio_row {
	struct hist latency;
	__u64 bytes;
	__u64 errors;
	__u64 retries;
	__u64 untimed;
};

/* Why an I/O is missing from its row, or was not seen. */
struct {
	__u64 map_full; /* counted under device="other" */
	__u64 service_map_full; /* likewise, of the time to serve it */
	__u64 bio_unmatched; /* a bio ended whose submission was not seen */
	__u64 bio_table_full;
	__u64 request_too_long; /* has bios that were not looked up */
} losses;

/*
 * Allocated in advance, for as many rows as the loader finds fit: in an
 * interrupt the kernel often cannot allocate two rows in a row.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct diskio_key);
	__type(value, struct diskio_row);
} diskio_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct diskio_key);
	__type(value, struct hist);
} diskio_service SEC(".maps");

const struct diskio_row diskio_zero_row = {};
const struct hist diskio_zero_hist = {};

/*
 * Finds the key's row. If there is no room, the key becomes that of the
 * operation's row for what does not fit.
 */
static __always_inline void *diskio_row(void *map, struct diskio_key *key, const void *zero,
					__u64 *full)
{
	void *row = row_of(map, key, zero);

	if (row)
		return row;
	__sync_fetch_and_add(full, 1);
	key->disk = 0;
	return bpf_map_lookup_elem(map, key);
}

/* Completions may interrupt each other, so every addition is atomic. */
static __always_inline void diskio_observe(struct hist *h, __u64 start, __u64 now)
{
	hist_observe_atomic(h, now > start ? now - start : 0);
}

static __always_inline void diskio_add(struct diskio_row *row, __u32 bytes, enum diskio_end end)
{
	__sync_fetch_and_add(&row->bytes, bytes);
	if (end == DISKIO_FAILED)
		__sync_fetch_and_add(&row->errors, 1);
}

/* A refused I/O took no time and moved nothing: its next try is the I/O. */
static __always_inline void diskio_refuse(struct diskio_row *row)
{
	__sync_fetch_and_add(&row->retries, 1);
}

/* Ends a bio if it is in the table, and says whether it was. */
static __always_inline bool diskio_end(struct bio *bio, enum diskio_end end)
{
	struct diskio_bio *found = diskio_bio_find(bio);
	struct diskio_bio was;
	struct diskio_row *row;

	if (!found)
		return false;
	was = *found;
	diskio_bio_remove(bio);
	row = diskio_row(&diskio_rows, &was.key, &diskio_zero_row, &losses.map_full);
	if (!row)
		return true;
	if (end == DISKIO_REFUSED) {
		diskio_refuse(row);
		return true;
	}
	diskio_observe(&row->latency, was.start, bpf_ktime_get_ns());
	diskio_add(row, was.bytes, end);
	return true;
}

/*
 * The verifier checks a global function once, not at every turn of a loop
 * that calls it. Its arguments must be numbers.
 */
__noinline int diskio_end_number(__u64 bio, enum diskio_end end)
{
	return diskio_end((struct bio *)bio, end);
}

/*
 * A driver may hand a bio on to another device as it is: the head of NVMe
 * multipath does, and md where it only remaps. Then a request of that device
 * ends the bio, and the kernel does not trace the bio's end. So this ends the
 * bios, if they are in the table, in the first bytes of a request.
 */
#define DISKIO_MAX_BIOS 256

__noinline int diskio_end_handed_on(__u64 first, __u32 bytes, enum diskio_end end)
{
	struct bio *bio = (struct bio *)first;

	for (int i = 0; i < DISKIO_MAX_BIOS; i++) {
		__u32 size;

		if (!bio)
			return 0;
		size = FIELD(false, bio, bi_iter.bi_size);
		if (size > bytes) /* a part of it, the rest is to follow */
			return 0;
		bytes -= size;
		diskio_end_number((__u64)bio, end);
		bio = FIELD(false, bio, bi_next);
	}
	if (bio)
		__sync_fetch_and_add(&losses.request_too_long, 1);
	return 0;
}

/*
 * Whose row a completion belongs to, if any. Without data there is none: a
 * write with preflush is carried out by requests of the flush machinery, which
 * are seen themselves, and completes once more after them; or a driver has
 * taken the bios back.
 */
static __always_inline bool diskio_request_key(bool typed, struct request *rq, __u32 bytes,
					       struct diskio_key *key)
{
	key->operation = diskio_operation(FIELD(typed, rq, cmd_flags), bytes);
	if (key->operation == DISKIO_NONE)
		return false;
	key->disk = diskio_identity(typed, diskio_request_disk(typed, rq));
	return true;
}

/* Is there more to come? The tracepoint fires before __data_len is reduced. */
static __always_inline bool diskio_is_part(bool typed, struct request *rq, __u32 bytes)
{
	return bytes < FIELD(typed, rq, __data_len);
}

static __always_inline void diskio_count_request(bool typed, struct request *rq, __u32 bytes,
						 enum diskio_end end)
{
	struct diskio_key key = {};
	struct diskio_row *row;
	__u64 start;

	if (!diskio_request_key(typed, rq, bytes, &key))
		return;
	row = diskio_row(&diskio_rows, &key, &diskio_zero_row, &losses.map_full);
	if (!row)
		return;
	if (end == DISKIO_REFUSED) {
		diskio_refuse(row);
		return;
	}
	diskio_add(row, bytes, end);
	if (diskio_is_part(typed, rq, bytes))
		return;
	if (diskio_has_start(typed, rq) || key.operation == DISKIO_FLUSH)
		start = FIELD(typed, rq, start_time_ns);
	else
		start = FIELD(typed, rq, io_start_time_ns);
	if (start)
		diskio_observe(&row->latency, start, bpf_ktime_get_ns());
	else
		__sync_fetch_and_add(&row->untimed, 1);
}

static __always_inline void diskio_end_bios(bool typed, struct request *rq, __u32 bytes,
					    enum diskio_end end)
{
	struct bio *bio = FIELD(typed, rq, bio);

	if (!bio)
		return;
	if (FIELD(typed, bio, bi_next))
		diskio_end_handed_on((__u64)FIELD(false, rq, bio), bytes, end);
	else if (FIELD(typed, bio, bi_iter.bi_size) <= bytes) /* the usual case, in short */
		diskio_end(bio, end);
}

/*
 * In this order the verifier comes by the typed pointers once, and not at the
 * end of each way through the rest: every one costs it a search through all
 * types by name.
 */
static __always_inline int diskio_complete(bool typed, struct request *rq, __u32 bytes, int status)
{
	enum diskio_end end = diskio_end_of(status);

	if (diskio_bios_used)
		diskio_end_bios(typed, rq, bytes, end);
	diskio_count_request(typed, rq, bytes, end);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(diskio_complete_typed, struct request *rq, int status, unsigned int bytes)
{
	return diskio_complete(true, rq, bytes, status);
}

SEC("raw_tp/block_rq_complete")
int BPF_PROG(diskio_complete_raw, struct request *rq, int status, unsigned int bytes)
{
	return diskio_complete(false, rq, bytes, status);
}

static __always_inline int diskio_serve(bool typed, struct request *rq, __u32 bytes, int status)
{
	struct diskio_key key = {};
	struct hist *row;
	__u64 issued;

	if (diskio_end_of(status) == DISKIO_REFUSED)
		return 0;
	if (diskio_is_part(typed, rq, bytes) || !diskio_request_key(typed, rq, bytes, &key))
		return 0;
	issued = FIELD(typed, rq, io_start_time_ns);
	if (!issued)
		return 0;
	row = diskio_row(&diskio_service, &key, &diskio_zero_hist, &losses.service_map_full);
	if (row)
		diskio_observe(row, issued, bpf_ktime_get_ns());
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(diskio_serve_typed, struct request *rq, int status, unsigned int bytes)
{
	return diskio_serve(true, rq, bytes, status);
}

SEC("raw_tp/block_rq_complete")
int BPF_PROG(diskio_serve_raw, struct request *rq, int status, unsigned int bytes)
{
	return diskio_serve(false, rq, bytes, status);
}

static __always_inline int diskio_bio_queue(bool typed, struct bio *bio)
{
	struct gendisk *disk = diskio_bio_disk(typed, bio);
	struct diskio_bio new = {};

	if (diskio_has_requests(typed, disk)) {
		/* Was the end missed of what had this address before? */
		if (diskio_bios_used && diskio_bio_find(bio))
			diskio_bio_remove(bio);
		return 0;
	}
	diskio_bio_describe(typed, bio, disk, &new);
	new.start = bpf_ktime_get_ns();
	if (diskio_bio_add(bio, &new))
		__sync_fetch_and_add(&losses.bio_table_full, 1);
	return 0;
}

/*
 * A disk with requests refuses a bio before it has one, so that no request tells
 * of it.
 */
static __always_inline void diskio_refused(bool typed, struct bio *bio, struct gendisk *disk)
{
	struct diskio_bio it = {};
	struct diskio_row *row;

	diskio_bio_describe(typed, bio, disk, &it);
	row = diskio_row(&diskio_rows, &it.key, &diskio_zero_row, &losses.map_full);
	if (row)
		diskio_refuse(row);
}

static __always_inline int diskio_bio_complete(bool typed, struct bio *bio)
{
	enum diskio_end end = diskio_end_of(FIELD(typed, bio, bi_status));
	bool known = diskio_end(bio, end);
	struct gendisk *disk;
	void *whole;

	if (known && end != DISKIO_REFUSED)
		return 0;
	disk = diskio_bio_disk(typed, bio);
	if (diskio_has_requests(typed, disk)) {
		if (end == DISKIO_REFUSED)
			diskio_refused(typed, bio, disk);
		return 0;
	}
	if (known)
		return 0;
	/* A part that was split off ends before the whole, which it knows. */
	whole = FIELD(typed, bio, bi_private);
	if (!bpf_map_lookup_elem(&diskio_bios, &whole))
		__sync_fetch_and_add(&losses.bio_unmatched, 1);
	return 0;
}

/*
 * e8a676d61c07 "block: simplify and extend the block_bio_merge tracepoint class"
 * dropped the queue. A type that is only declared matches every struct.
 */
struct diskio_any;
typedef void (*btf_trace_block_bio_queue___queue)(void *, struct diskio_any *, struct diskio_any *);

static __always_inline struct bio *diskio_queued(__u64 *ctx)
{
	struct bio *bio = (struct bio *)ctx[0];

	/* In assembler, lest the compiler compute an index: it must be constant. */
	if (bpf_core_type_matches(btf_trace_block_bio_queue___queue))
		asm volatile("%0 = *(u64 *)(%1 + 8)" : "=r"(bio) : "r"(ctx));
	return bio;
}

SEC("tp_btf/block_bio_queue")
int diskio_bio_queue_typed(__u64 *ctx)
{
	return diskio_bio_queue(true, diskio_queued(ctx));
}

SEC("raw_tp/block_bio_queue")
int diskio_bio_queue_raw(__u64 *ctx)
{
	return diskio_bio_queue(false, diskio_queued(ctx));
}

SEC("tp_btf/block_bio_complete")
int BPF_PROG(diskio_bio_complete_typed, struct request_queue *q, struct bio *bio)
{
	return diskio_bio_complete(true, bio);
}

SEC("raw_tp/block_bio_complete")
int BPF_PROG(diskio_bio_complete_raw, struct request_queue *q, struct bio *bio)
{
	return diskio_bio_complete(false, bio);
}

/*
 * The kernel leaves a program out that would interrupt itself: a disk completes
 * while the end of another bio is counted, in a task that has been refused. These
 * run after the others at the same place, and end what those have not seen.
 */
SEC("tp_btf/block_bio_complete")
int BPF_PROG(diskio_bio_missed_typed, struct request_queue *q, struct bio *bio)
{
	diskio_end(bio, diskio_end_of(FIELD(true, bio, bi_status)));
	return 0;
}

SEC("raw_tp/block_bio_complete")
int BPF_PROG(diskio_bio_missed_raw, struct request_queue *q, struct bio *bio)
{
	diskio_end(bio, diskio_end_of(FIELD(false, bio, bi_status)));
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
