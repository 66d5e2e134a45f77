/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

/*
 * The kernel types that our programs read, each cut down to the members they
 * use: CO-RE finds the real offsets at load, on any kernel and architecture,
 * so one object serves amd64 and arm64. A member that some kernels lack stands
 * in a flavour (name___what) next to its use.
 */

typedef unsigned char __u8;
typedef signed short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};

enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158,
};

/* include/linux/cgroup_subsys.h: members and values depend on the kernel's configuration */
enum cgroup_subsys_id {
	memory_cgrp_id,
	pids_cgrp_id,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct blk_mq_ops;

struct gendisk {
	int major;
	int first_minor;
	struct request_queue *queue;
};

struct request_queue {
	const struct blk_mq_ops *mq_ops;
	struct gendisk *disk;
};

struct block_device {
	struct gendisk *bd_disk;
};

struct bvec_iter {
	unsigned int bi_size;
};

struct bio {
	struct bio *bi_next;
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	__u8 bi_status;
	struct bvec_iter bi_iter;
	void *bi_private;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int rq_flags;
	unsigned int __data_len;
	struct bio *bio;
	__u64 start_time_ns;
	__u64 io_start_time_ns;
};

enum pageflags {
	PG_head,
	PG_uptodate,
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	long long i_size;
};

struct address_space {
	struct inode *host;
	unsigned long nrpages;
};

struct folio {
	struct address_space *mapping;
	unsigned long index;
	unsigned long _flags_1;
};

struct file {
	unsigned int f_flags;
	struct address_space *f_mapping;
	struct inode *f_inode;
	long long f_pos;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct kiocb {
	struct file *ki_filp;
	long long ki_pos;
};

struct iov_iter;

struct task_io_accounting {
	__u64 syscr;
};

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
};

struct thread_info {
	unsigned long flags;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1]; /* more, by cgroup_subsys_id */
	struct cgroup *dfl_cgrp;
};

struct cfs_rq {
	int throttle_count;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

typedef struct {
	__u32 val;
} kuid_t;

struct user_namespace {
	struct user_namespace *parent;
	kuid_t owner;
};

struct cred {
	struct user_namespace *user_ns;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	int pid;
	struct sched_entity se;
	struct sched_info sched_info;
	__u64 start_time;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct cred *cred;
	struct files_struct *files;
	struct css_set *cgroups;
	struct task_io_accounting ioac;
};

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	unsigned short skc_family;
	unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct request_sock {
	struct sock_common __req_common;
};

struct sk_buff {
	char cb[48];
};

struct tcp_skb_cb {
	__u16 tcp_gso_segs;
};

struct pt_regs;
struct page;

#pragma clang attribute pop

#endif
