//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Disk I/O latency the textbook way, as bcc's biolatency does it: a timestamp
 * in a hash by request when it is queued or issued, the difference when it
 * completes, and a histogram with the bucket in the key. For devices without
 * requests the same by bio.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "textbook.bpf.h"

struct diskio_bucket {
	__u32 device; /* major << 20 | minor */
	__u32 operation;
	__u64 slot;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, __u64);
	__type(value, __u64);
} diskio_starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, struct diskio_bucket);
	__type(value, __u64);
} diskio_latency SEC(".maps");

static __always_inline int diskio_start(void *io, __u64 flags)
{
	__u64 id = (__u64)io, now = bpf_ktime_get_ns();

	bpf_map_update_elem(&diskio_starts, &id, &now, flags);
	return 0;
}

static __always_inline int diskio_end(void *io, struct gendisk *disk, __u32 flags)
{
	__u64 id = (__u64)io, *start, delay;
	struct diskio_bucket key = {};

	start = bpf_map_lookup_elem(&diskio_starts, &id);
	if (!start)
		return 0;
	delay = bpf_ktime_get_ns() - *start;
	bpf_map_delete_elem(&diskio_starts, &id);
	key.device = disk->major << 20 | disk->first_minor;
	key.operation = flags & 0xff;
	key.slot = textbook_log2(delay / 1000);
	textbook_increment(&diskio_latency, &key);
	return 0;
}

SEC("tp_btf/block_rq_insert")
int BPF_PROG(diskio_insert, struct request *rq)
{
	return diskio_start(rq, BPF_ANY);
}

/* A scheduler may issue without inserting. */
SEC("tp_btf/block_rq_issue")
int BPF_PROG(diskio_issue, struct request *rq)
{
	return diskio_start(rq, BPF_NOEXIST);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(diskio_complete, struct request *rq, int error, unsigned int bytes)
{
	if (bytes < rq->__data_len)
		return 0;
	return diskio_end(rq, rq->q->disk, rq->cmd_flags);
}

SEC("tp_btf/block_bio_queue")
int BPF_PROG(diskio_submit, struct bio *bio)
{
	return diskio_start(bio, BPF_ANY);
}

SEC("tp_btf/block_bio_complete")
int BPF_PROG(diskio_bio_end, struct request_queue *q, struct bio *bio)
{
	return diskio_end(bio, bio->bi_bdev->bd_disk, bio->bi_opf);
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
