/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_REGS_BPF_H
#define KERNSCOPE_REGS_BPF_H

/*
 * A function's arguments and result in the registers of a kprobe or kretprobe.
 * CO-RE decides which architecture's, so that one object serves all.
 */
struct pt_regs___x86_call {
	unsigned long di;
	unsigned long si;
	unsigned long dx;
	unsigned long ax;
} __attribute__((preserve_access_index));

struct pt_regs___arm64_call {
	__u64 regs[31];
} __attribute__((preserve_access_index));

/* By the helper: clang computes addresses in a way that is not allowed on ctx. */
#define REGS_OF(ctx, x86_name, arm64_index)                                                        \
	(bpf_core_field_exists(((struct pt_regs___x86_call *)(ctx))->x86_name)                     \
		 ? BPF_CORE_READ((struct pt_regs___x86_call *)(ctx), x86_name)                     \
		 : BPF_CORE_READ((struct pt_regs___arm64_call *)(ctx), regs[arm64_index]))

#define REGS_ARG1(ctx) REGS_OF(ctx, di, 0)
#define REGS_ARG3(ctx) REGS_OF(ctx, dx, 2)
#define REGS_RESULT(ctx) REGS_OF(ctx, ax, 0)

#endif
