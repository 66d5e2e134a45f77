/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_CACHESTAT_CALL_BPF_H
#define KERNSCOPE_CACHESTAT_CALL_BPF_H

/*
 * What the system call that a task is in reads, and from where on: by its
 * arguments, which stay in the task's registers until it returns, and the
 * position of the file, which the kernel moves only as the call ends.
 */
#include "abi.bpf.h"

/* How a system call says what it reads. Set by the loader, by number; 0 reads no file. */
#define CACHESTAT_POSITION 0x07 /* one of the next five */
#define CACHESTAT_AT_FILES 1 /* the position of the file */
#define CACHESTAT_AT_ARG 2 /* pread64: in the fourth argument */
#define CACHESTAT_AT_ARG_OR_FILES 3 /* preadv, preadv2: as before, -1 is the file's */
#define CACHESTAT_AT_POINTER 4 /* where the next argument points to, NULL is the file's */
#define CACHESTAT_AT_POINTER32 5 /* the same, to 32 bits */
#define CACHESTAT_MANY 0x08 /* several reads inside the kernel, one after the other */
#define CACHESTAT_SECOND 0x10 /* the file is the second argument, not the first */
#define CACHESTAT_FLAGS 0x20 /* the sixth argument has flags of preadv2 */

const volatile __u8 cfg_native[SYSCALL_NUMBERS];
const volatile __u8 cfg_compat[SYSCALL_NUMBERS];

struct pt_regs___x86_args {
	unsigned long bp;
	unsigned long bx;
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long ax;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
} __attribute__((preserve_access_index));

struct pt_regs___arm64_args {
	__u64 regs[31];
	__u64 orig_x0;
	__s32 syscallno;
} __attribute__((preserve_access_index));

struct task_struct___uring {
	void *io_uring;
} __attribute__((preserve_access_index));

/* include/uapi/linux/fs.h, include/uapi/linux/magic.h, include/uapi/asm-generic/errno.h */
#define CACHESTAT_RWF_NOWAIT 0x8
#define CACHESTAT_OVERLAYFS 0x794c7630
#define CACHESTAT_ENOSYS 38

/* O_DIRECT of x86 and of arm64; to the other it is O_DIRECTORY, and who reads has no folder. */
#define CACHESTAT_O_DIRECT (040000 | 0200000)

/* By the kernel's types, read as any other member: the verifier makes a move of the call. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

struct cachestat_call {
	struct task_struct *task;
	struct pt_regs *regs;
	bool compat;
	__u8 reads;
};

static __always_inline struct cachestat_call cachestat_call_of(struct task_struct *task)
{
	struct cachestat_call call = {task, (void *)bpf_task_pt_regs(task)};
	struct pt_regs___arm64_args *arm64 = (void *)call.regs;
	struct pt_regs___x86_args *x86 = (void *)call.regs;
	__u64 number;

	number = bpf_core_field_exists(x86->orig_ax) ? x86->orig_ax : (__u32)arm64->syscallno;
	call.compat = abi_is_compat(true, &task->thread_info);
	if (number < SYSCALL_NUMBERS)
		call.reads = call.compat ? cfg_compat[number] : cfg_native[number];
	return call;
}

/* An argument of the call; i is a constant. */
static __always_inline __u64 cachestat_arg(const struct cachestat_call *call, int i)
{
	struct pt_regs___arm64_args *arm64 = (void *)call->regs;
	struct pt_regs___x86_args *x86 = (void *)call->regs;

	if (!bpf_core_field_exists(x86->orig_ax))
		return i ? arm64->regs[i] : arm64->orig_x0;
	switch (i) {
	case 0:
		return call->compat ? (__u32)x86->bx : x86->di;
	case 1:
		return call->compat ? (__u32)x86->cx : x86->si;
	case 2:
		return call->compat ? (__u32)x86->dx : x86->dx;
	case 3:
		return call->compat ? (__u32)x86->si : x86->r10;
	case 4:
		return call->compat ? (__u32)x86->di : x86->r8;
	default:
		return call->compat ? (__u32)x86->bp : x86->r9;
	}
}

/* The position among the arguments: 32-bit programs give it in two halves. */
static __always_inline __u64 cachestat_arg_position(const struct cachestat_call *call)
{
	struct pt_regs___x86_args *x86 = (void *)call->regs;

	if (!call->compat)
		return cachestat_arg(call, 3);
	/* arm: a pair of registers begins with an even one, unless they are "long" */
	if ((call->reads & CACHESTAT_POSITION) == CACHESTAT_AT_ARG &&
	    !bpf_core_field_exists(x86->orig_ax))
		return cachestat_arg(call, 5) << 32 | (__u32)cachestat_arg(call, 4);
	return cachestat_arg(call, 4) << 32 | cachestat_arg(call, 3);
}

/* The file that the call reads; reading its members gives 0 if there is none. */
static __always_inline struct file *cachestat_call_file(const struct cachestat_call *call)
{
	__u32 fd = call->reads & CACHESTAT_SECOND ? cachestat_arg(call, 1) : cachestat_arg(call, 0);
	struct fdtable *table = call->task->files->fdt;
	struct kiocb *slot = NULL;

	/* The table is an array of pointers to files; a kiocb has one such, too. */
	if (fd < table->max_fds)
		slot = (void *)((__u64)table->fd + fd * sizeof(void *) -
				bpf_core_field_offset(slot->ki_filp));
	slot = bpf_rdonly_cast(slot, bpf_core_type_id_kernel(struct kiocb));
	return slot->ki_filp;
}

/* Where the call began to read; beyond all files if that is not known. */
static __always_inline __u64 cachestat_call_position(const struct cachestat_call *call)
{
	const void *at = (void *)(call->reads & CACHESTAT_SECOND ? cachestat_arg(call, 2)
								 : cachestat_arg(call, 1));
	__u8 way = call->reads & CACHESTAT_POSITION;
	__u64 position;
	__u32 half;

	if (way == CACHESTAT_AT_ARG || way == CACHESTAT_AT_ARG_OR_FILES) {
		position = cachestat_arg_position(call);
		if (way == CACHESTAT_AT_ARG || (__s64)position >= 0)
			return position;
	} else if (at && way == CACHESTAT_AT_POINTER) {
		return bpf_probe_read_user(&position, sizeof(position), at) ? ~0ULL : position;
	} else if (at && way == CACHESTAT_AT_POINTER32) {
		return bpf_probe_read_user(&half, sizeof(half), at) ? ~0ULL : half;
	}
	return cachestat_call_file(call)->f_pos;
}

/*
 * Whether it is this call that reads a file through the page cache now, and not
 * work for io_uring that is done as the call returns, or a worker that has its
 * registers from whom it works for. Through overlayfs a file is another's with
 * the same size.
 */
static __always_inline bool cachestat_call_reads(const struct cachestat_call *call, __u64 id,
						 __u64 size)
{
	struct pt_regs___arm64_args *arm64 = (void *)call->regs;
	struct pt_regs___x86_args *x86 = (void *)call->regs;
	struct file *file;

	if (!call->reads)
		return false;
	if (bpf_core_field_exists(x86->orig_ax) ? x86->ax != -CACHESTAT_ENOSYS
						: arm64->regs[0] != arm64->orig_x0)
		return false; /* the result is there */
	file = cachestat_call_file(call);
	/* The part that direct I/O got is not from the page cache. */
	if (file->f_flags & CACHESTAT_O_DIRECT)
		return false;
	return cachestat_file(true, file->f_mapping) == id ||
	       (file->f_inode->i_sb->s_magic == CACHESTAT_OVERLAYFS &&
		(__u64)file->f_inode->i_size == size);
}

/*
 * Whether the current task may read without waiting: by io_uring in its name, or
 * preadv2 that says it. The verifier looks at the function once.
 */
__noinline bool cachestat_may_not_wait(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct___uring *uring = (void *)task;
	struct cachestat_call call;

	if (bpf_core_field_exists(uring->io_uring) && uring->io_uring)
		return true;
	call = cachestat_call_of(task);
	return call.reads & CACHESTAT_FLAGS && cachestat_arg(&call, 5) & CACHESTAT_RWF_NOWAIT;
}

#endif
