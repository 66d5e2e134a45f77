/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_ABI_BPF_H
#define KERNSCOPE_ABI_BPF_H

#include "read.bpf.h"

#define SYSCALL_NUMBERS 512 /* more than any architecture has assigned */

/* arch/x86/include/asm/thread_info.h: int $0x80 sets it even in a 64-bit program */
struct thread_info___x86 {
	__u32 status;
} __attribute__((preserve_access_index));
#define X86_TS_COMPAT 0x2
/* arch/arm64/include/asm/thread_info.h */
#define ARM64_TIF_32BIT (1UL << 22)

static __always_inline bool abi_is_compat(bool typed, struct thread_info *ti)
{
	struct thread_info___x86 *x86 = (void *)ti;

	if (bpf_core_field_exists(x86->status))
		return FIELD(typed, x86, status) & X86_TS_COMPAT;
	return FIELD(typed, ti, flags) & ARM64_TIF_32BIT;
}

/* Whether the current task is in a system call as 32-bit programs make them. */
static __always_inline bool syscall_is_compat(void)
{
	struct task_struct *task;

	/* 3ca1032ab7ab "bpf: Implement get_current_task_btf and RET_PTR_TO_BTF_ID" */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		task = bpf_get_current_task_btf();
		return abi_is_compat(true, &task->thread_info);
	}
	task = (void *)bpf_get_current_task();
	return abi_is_compat(false, &task->thread_info);
}

#endif
