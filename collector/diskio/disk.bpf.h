/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_DISKIO_DISK_H
#define KERNSCOPE_DISKIO_DISK_H

/* What a request or a bio is: of which disk, what it does, since when, and how it ended. */

enum diskio_operation {
	DISKIO_READ,
	DISKIO_WRITE,
	DISKIO_FLUSH,
	DISKIO_DISCARD,
	DISKIO_OTHER,
};
#define DISKIO_NONE ((enum diskio_operation) - 1) /* no I/O of the block layer's */

struct diskio_key {
	__u64 disk; /* diskio_identity(); 0 is the row for what does not fit */
	enum diskio_operation operation;
} __attribute__((packed, aligned(4)));

/*
 * The kernel's own number of an operation and what it does. Of the numbers
 * only those named here have not moved since 4.10, but odd ones are always
 * those that send data to the device: write-zeroes, write-same, zone append.
 */
static __always_inline enum diskio_operation diskio_operation(__u32 flags, __u32 bytes)
{
	__u32 op = flags & 0xff;

	if (op >= 32) /* passthrough: a driver's or SCSI's own command */
		return DISKIO_NONE;
	if (op == 2)
		return DISKIO_FLUSH;
	if (!bytes) /* beyond 9 it manages zones, else it has no data any more */
		return op > 9 ? DISKIO_OTHER : DISKIO_NONE;
	if (op == 3)
		return DISKIO_DISCARD;
	if (op == 5) /* secure erase */
		return DISKIO_OTHER;
	return op & 1 ? DISKIO_WRITE : DISKIO_READ;
}

/* 309dca309fc3 "block: store a block_device pointer in struct bio" */
struct bio___bi_disk {
	struct gendisk *bi_disk;
} __attribute__((preserve_access_index));

/* f3fa33acca9f "block: remove the ->rq_disk field in struct request" */
struct request___rq_disk {
	struct gendisk *rq_disk;
} __attribute__((preserve_access_index));

/* cf179948554a "block: add disk sequence number" */
struct gendisk___diskseq {
	__u64 diskseq;
} __attribute__((preserve_access_index));

struct kobject {
	struct kernfs_node *sd;
} __attribute__((preserve_access_index));

struct device {
	struct kobject kobj;
} __attribute__((preserve_access_index));

/* 0d02129e76ed "block: merge struct block_device and struct hd_struct" */
struct block_device___device {
	struct device bd_device;
} __attribute__((preserve_access_index));

struct gendisk___part0 {
	struct block_device___device *part0;
} __attribute__((preserve_access_index));

struct hd_struct {
	struct device __dev;
} __attribute__((preserve_access_index));

struct gendisk___hd_struct {
	struct hd_struct part0;
} __attribute__((preserve_access_index));

/* Marks the identity of a disk that the kernel does not number. */
#define DISKIO_INODE (1ULL << 63)

/*
 * What tells a disk from all others since boot: its number and its name are
 * given to the next one. Without the kernel's own number this is the inode of
 * the disk's folder in sysfs, which is missing once the folder is removed.
 */
static __always_inline __u64 diskio_identity(bool typed, struct gendisk *disk)
{
	struct gendisk___diskseq *numbered = (void *)disk;
	struct gendisk___hd_struct *oldest = (void *)disk;
	struct gendisk___part0 *old = (void *)disk;
	struct block_device___device *part;
	struct kernfs_node *folder;

	if (bpf_core_field_exists(numbered->diskseq))
		return FIELD(typed, numbered, diskseq);
	if (bpf_core_field_exists(oldest->part0.__dev)) {
		folder = FIELD(typed, oldest, part0.__dev.kobj.sd);
	} else {
		part = FIELD(typed, old, part0);
		folder = FIELD(typed, part, bd_device.kobj.sd);
	}
	return DISKIO_INODE | FIELD(typed, folder, id);
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

/* How an I/O ended. */
enum diskio_end {
	DISKIO_DONE,
	DISKIO_FAILED,
	DISKIO_REFUSED, /* would have had to wait, and is for the submitter to try again */
};

#define DISKIO_STS_AGAIN 12
#define DISKIO_EAGAIN 11

/* The status of a bio or a request, a blk_status_t; of a request it was an errno before 5.16. */
static __always_inline enum diskio_end diskio_end_of(int status)
{
	if (!status)
		return DISKIO_DONE;
	return status == DISKIO_STS_AGAIN || status == -DISKIO_EAGAIN ? DISKIO_REFUSED
								      : DISKIO_FAILED;
}

/* Is start_time_ns this request's? Without the flag it may be an earlier one's. */
static __always_inline bool diskio_has_start(bool typed, struct request *rq)
{
	__u32 flag = 1 << 13;

	if (bpf_core_enum_value_exists(enum rqf_flags, __RQF_IO_STAT))
		flag = 1 << bpf_core_enum_value(enum rqf_flags, __RQF_IO_STAT);
	return FIELD(typed, rq, rq_flags) & flag;
}

#endif
