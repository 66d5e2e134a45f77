//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Disk I/O latency, from the creation of a request to its final completion,
 * per device and operation. One program at completion: the request carries its
 * own timestamps, so nothing is remembered in between. Devices that have no
 * requests (zram, device mapper, md, brd) are measured from the submission of
 * a bio to its end, which does need a small table.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "hist.bpf.h"
#include "read.bpf.h"
#include "row.bpf.h"

const volatile bool cfg_service_time;
/* The bit of rq_flags that says start_time_ns is valid for this request. */
const volatile __u32 cfg_rqf_io_stat;

enum diskio_operation {
	DISKIO_READ,
	DISKIO_WRITE,
	DISKIO_FLUSH,
	DISKIO_DISCARD,
	DISKIO_OTHER,
};
#define DISKIO_NONE ((enum diskio_operation)(-1)) /* a command that is not the block layer's */

struct diskio_key {
	__u32 device; /* major << 20 | minor; 0 is the row for what does not fit */
	enum diskio_operation operation;
};

struct diskio_row {
	struct hist latency;
	__u64 bytes;
	__u64 errors;
	__u64 untimed;
};

struct diskio_start {
	__u64 ns;
	struct diskio_key key;
	__u32 bytes;
	__u32 pad;
};

/* Why an I/O is missing from its row, or was not seen. */
struct {
	__u64 map_full; /* counted under device="other" */
	__u64 bio_unmatched; /* a bio ended whose submission was not seen */
	__u64 bio_table_full;
} losses;

/*
 * Rows are allocated when first used: a machine has few devices, but a row
 * has a copy on every CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct diskio_key);
	__type(value, struct diskio_row);
} diskio_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct diskio_key);
	__type(value, struct hist);
} diskio_service SEC(".maps");

/* LRU, because the end of a bio that a driver redirects is never traced. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct diskio_start);
} diskio_bios SEC(".maps");

const struct diskio_row diskio_zero_row = {};
const struct hist diskio_zero_hist = {};

/* 309dca309fc3 "block: store a block_device pointer in struct bio" */
struct bio___bi_disk {
	struct gendisk *bi_disk;
} __attribute__((preserve_access_index));

/* f3fa33acca9f "block: remove the ->rq_disk field in struct request" */
struct request___rq_disk {
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

/*
 * The number of a zone append has moved, so the running kernel is asked.
 * ff07a02e9e8e "treewide: Rename enum req_opf into enum req_op"
 */
enum req_op {
	REQ_OP_ZONE_APPEND = 7,
};
enum req_opf {
	REQ_OP_ZONE_APPEND___opf = 13,
};

static __always_inline __u32 diskio_zone_append(void)
{
	if (bpf_core_enum_value_exists(enum req_op, REQ_OP_ZONE_APPEND))
		return bpf_core_enum_value(enum req_op, REQ_OP_ZONE_APPEND);
	return bpf_core_enum_value(enum req_opf, REQ_OP_ZONE_APPEND___opf);
}

/* The operations' numbers are those of include/linux/blk_types.h, unchanged since 4.8. */
static __always_inline enum diskio_operation diskio_operation(__u32 flags)
{
	__u32 op = flags & 0xff;

	if (op <= 3)
		return op;
	if (op >= 32) /* passthrough: a driver's or SCSI's own command */
		return DISKIO_NONE;
	/* /proc/diskstats counts write-zeroes and zone append as writes, too. */
	if (op == 9 || op == diskio_zone_append())
		return DISKIO_WRITE;
	return DISKIO_OTHER;
}

static __always_inline __u32 diskio_device(bool typed, struct gendisk *disk)
{
	return FIELD(typed, disk, major) << 20 | FIELD(typed, disk, first_minor);
}

static __always_inline struct gendisk *diskio_request_disk(bool typed, struct request *rq)
{
	struct request___rq_disk *old = (void *)rq;
	struct request_queue *q;

	if (bpf_core_field_exists(old->rq_disk))
		return FIELD(typed, old, rq_disk);
	q = FIELD(typed, rq, q);
	return FIELD(typed, q, disk);
}

static __always_inline struct gendisk *diskio_bio_disk(bool typed, struct bio *bio)
{
	struct bio___bi_disk *old = (void *)bio;
	struct block_device *bdev;

	if (bpf_core_field_exists(old->bi_disk))
		return FIELD(typed, old, bi_disk);
	bdev = FIELD(typed, bio, bi_bdev);
	return FIELD(typed, bdev, bd_disk);
}

/* Fits the key to what there is room for: its own row or that of the operation. */
static __always_inline struct diskio_row *diskio_row(struct diskio_key *key)
{
	struct diskio_row *row = row_of(&diskio_rows, key, &diskio_zero_row);

	if (row)
		return row;
	__sync_fetch_and_add(&losses.map_full, 1);
	key->device = 0;
	return bpf_map_lookup_elem(&diskio_rows, key);
}

/* Completions may interrupt each other, so every addition is atomic. */
static __always_inline void diskio_count(struct diskio_key *key, __u64 start, __u64 now,
					 __u32 bytes, bool error)
{
	struct diskio_row *row = diskio_row(key);

	if (!row)
		return;
	if (start)
		hist_observe_atomic(&row->latency, now > start ? now - start : 0);
	else
		__sync_fetch_and_add(&row->untimed, 1);
	__sync_fetch_and_add(&row->bytes, bytes);
	if (error)
		__sync_fetch_and_add(&row->errors, 1);
}

static __always_inline int diskio_complete(bool typed, struct request *rq, bool error, __u32 bytes)
{
	struct diskio_key key = {};
	__u64 now, start, issued;
	struct hist *service;

	/* A part: the tracepoint fires before __data_len is reduced. */
	if (bytes < FIELD(typed, rq, __data_len))
		return 0;
	key.operation = diskio_operation(FIELD(typed, rq, cmd_flags));
	if (key.operation == DISKIO_NONE)
		return 0;
	/*
	 * A write with preflush is carried out by requests of the flush
	 * machinery, which are seen themselves, and then completes once more
	 * with nothing.
	 */
	if (!bytes && key.operation != DISKIO_FLUSH)
		return 0;
	key.device = diskio_device(typed, diskio_request_disk(typed, rq));

	/* Without the flag, start_time_ns may be that of an earlier request. */
	issued = FIELD(typed, rq, io_start_time_ns);
	start = issued;
	if (FIELD(typed, rq, rq_flags) & cfg_rqf_io_stat || key.operation == DISKIO_FLUSH)
		start = FIELD(typed, rq, start_time_ns);
	now = bpf_ktime_get_ns();
	if (cfg_service_time && issued) {
		service = row_of(&diskio_service, &key, &diskio_zero_hist);
		if (service)
			hist_observe_atomic(service, now > issued ? now - issued : 0);
	}
	diskio_count(&key, start, now, bytes, error);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(diskio_complete_typed, struct request *rq, int error, unsigned int bytes)
{
	return diskio_complete(true, rq, error, bytes);
}

SEC("raw_tp/block_rq_complete")
int BPF_PROG(diskio_complete_raw, struct request *rq, int error, unsigned int bytes)
{
	return diskio_complete(false, rq, error, bytes);
}

static __always_inline int diskio_submit(bool typed, struct bio *bio)
{
	struct gendisk *disk = diskio_bio_disk(typed, bio);
	struct request_queue *q = FIELD(typed, disk, queue);
	__u64 id = (__u64)bio;
	struct diskio_start start = {};
	__u32 flags;

	if (FIELD(typed, q, mq_ops)) /* it will become a request */
		return 0;
	flags = FIELD(typed, bio, bi_opf);
	start.key.operation = diskio_operation(flags);
	if (start.key.operation == DISKIO_NONE)
		return 0;
	start.bytes = FIELD(typed, bio, bi_iter.bi_size);
	/* An empty write can only be a flush. */
	if (start.key.operation == DISKIO_WRITE && !start.bytes)
		start.key.operation = DISKIO_FLUSH;
	start.key.device = diskio_device(typed, disk);
	start.ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&diskio_bios, &id, &start, BPF_ANY))
		__sync_fetch_and_add(&losses.bio_table_full, 1);
	return 0;
}

static __always_inline int diskio_end(bool typed, struct bio *bio)
{
	__u64 id = (__u64)bio, now;
	struct diskio_start *found, start;

	found = bpf_map_lookup_elem(&diskio_bios, &id);
	if (!found) {
		struct gendisk *disk = diskio_bio_disk(typed, bio);
		struct request_queue *q = FIELD(typed, disk, queue);

		if (!FIELD(typed, q, mq_ops))
			__sync_fetch_and_add(&losses.bio_unmatched, 1);
		return 0;
	}
	now = bpf_ktime_get_ns();
	start = *found;
	bpf_map_delete_elem(&diskio_bios, &id);
	diskio_count(&start.key, start.ns, now, start.bytes, FIELD(typed, bio, bi_status));
	return 0;
}

/* e8a676d61c07 "block: simplify and extend the block_bio_merge tracepoint class" dropped the queue. */
typedef void (*btf_trace_block_bio_queue___queue)(void *, struct request_queue *, struct bio *);

static __always_inline struct bio *diskio_submitted(__u64 *ctx)
{
	if (bpf_core_type_matches(btf_trace_block_bio_queue___queue))
		return (struct bio *)ctx[1];
	return (struct bio *)ctx[0];
}

SEC("tp_btf/block_bio_queue")
int diskio_submit_typed(__u64 *ctx)
{
	return diskio_submit(true, diskio_submitted(ctx));
}

SEC("raw_tp/block_bio_queue")
int diskio_submit_raw(__u64 *ctx)
{
	return diskio_submit(false, diskio_submitted(ctx));
}

SEC("tp_btf/block_bio_complete")
int BPF_PROG(diskio_end_typed, struct request_queue *q, struct bio *bio)
{
	return diskio_end(true, bio);
}

SEC("raw_tp/block_bio_complete")
int BPF_PROG(diskio_end_raw, struct request_queue *q, struct bio *bio)
{
	return diskio_end(false, bio);
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
