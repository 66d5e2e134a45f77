/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_DISKIO_DISK_H
#define KERNSCOPE_DISKIO_DISK_H

/* Whose a request or a bio is: of which disk, and since when. */

enum diskio_operation {
	DISKIO_READ,
	DISKIO_WRITE,
	DISKIO_FLUSH,
	DISKIO_DISCARD,
	DISKIO_OTHER,
};
#define DISKIO_NONE ((enum diskio_operation) - 1) /* no I/O of the block layer's */

struct diskio_key {
	__u32 device; /* diskio_device(); 0 is the row for what does not fit */
	enum diskio_operation operation;
};

/* 309dca309fc3 "block: store a block_device pointer in struct bio" */
struct bio___bi_disk {
	struct gendisk *bi_disk;
} __attribute__((preserve_access_index));

/* f3fa33acca9f "block: remove the ->rq_disk field in struct request" */
struct request___rq_disk {
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

/* The device's number as the kernel writes it: major << 20 | minor. */
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

/* Bios for other disks are carried out as they are. */
static __always_inline bool diskio_has_requests(bool typed, struct gendisk *disk)
{
	struct request_queue *q = FIELD(typed, disk, queue);

	return FIELD(typed, q, mq_ops);
}

/*
 * 5f89154e8e9e "block: Use enum to define RQF_x bit indexes" made the flags
 * enumerators and moved them; RQF_IO_STAT was a macro before, 1 << 13.
 */
enum rqf_flags {
	__RQF_IO_STAT,
};

/* Is start_time_ns this request's? Without the flag it may be an earlier one's. */
static __always_inline bool diskio_has_start(bool typed, struct request *rq)
{
	__u32 flag = 1 << 13;

	if (bpf_core_enum_value_exists(enum rqf_flags, __RQF_IO_STAT))
		flag = 1 << bpf_core_enum_value(enum rqf_flags, __RQF_IO_STAT);
	return FIELD(typed, rq, rq_flags) & flag;
}

#endif
