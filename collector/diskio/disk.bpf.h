/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_DISKIO_DISK_H
#define KERNSCOPE_DISKIO_DISK_H

/* Which disk a request or a bio is for. */

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

#endif
