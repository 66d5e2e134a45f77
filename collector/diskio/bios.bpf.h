/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_DISKIO_BIOS_H
#define KERNSCOPE_DISKIO_BIOS_H

/* The bios under way on devices without requests. */
struct diskio_bio {
	__u64 start;
	struct diskio_key key;
	__u32 bytes;
};

/* Fills in all but when it started. */
static __always_inline void diskio_bio_describe(bool typed, struct bio *bio, struct gendisk *disk,
						struct diskio_bio *it)
{
	it->bytes = FIELD(typed, bio, bi_iter.bi_size);
	it->key.operation = diskio_operation(FIELD(typed, bio, bi_opf), it->bytes);
	if (it->key.operation == DISKIO_NONE) /* an empty write */
		it->key.operation = DISKIO_FLUSH;
	it->key.disk = diskio_identity(typed, disk);
}

/* By address. LRU, because an end that is missed must not fill it for ever. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct diskio_bio);
} diskio_bios SEC(".maps");

/* There has been one: the table is in use. */
bool diskio_bios_used;

/*
 * How many bios of the table have an address of this hash. Mostly none: then a
 * bio need not be looked up, which takes ten times as long. A count may be too
 * high, as the table drops its oldest without a word, but never too low.
 */
#define DISKIO_HASH_BITS 12

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << DISKIO_HASH_BITS);
	__type(key, __u32);
	__type(value, __u32);
} diskio_bios_by_hash SEC(".maps");

/* Never NULL, which the verifier does not know. */
static __always_inline __u32 *diskio_bios_like(struct bio *bio)
{
	__u32 address, hash;

	/* clang would shift the upper half away, which is not allowed on pointers */
	asm("%0 = %1" : "=w"(address) : "w"((__u32)(unsigned long)bio));
	hash = address * 0x9e3779b97f4a7c15 >> (64 - DISKIO_HASH_BITS);
	return bpf_map_lookup_elem(&diskio_bios_by_hash, &hash);
}

static __always_inline struct diskio_bio *diskio_bio_find(struct bio *bio)
{
	__u32 *like = diskio_bios_like(bio);

	return like && *(volatile __u32 *)like ? bpf_map_lookup_elem(&diskio_bios, &bio) : NULL;
}

static __always_inline void diskio_bio_remove(struct bio *bio)
{
	__u32 *like = diskio_bios_like(bio);

	if (!bpf_map_delete_elem(&diskio_bios, &bio) && like)
		__sync_fetch_and_add(like, -1);
}

/* Says whether there was no room. */
static __always_inline bool diskio_bio_add(struct bio *bio, struct diskio_bio *new)
{
	__u32 *like = diskio_bios_like(bio);

	if (!diskio_bios_used)
		diskio_bios_used = true;
	if (like)
		__sync_fetch_and_add(like, 1);
	if (!bpf_map_update_elem(&diskio_bios, &bio, new, BPF_ANY))
		return false;
	if (like)
		__sync_fetch_and_add(like, -1);
	return true;
}

#endif
