//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * System calls that open, read or write, by the name of the thread that makes
 * them and, if wanted, its cgroup, counted as they enter the kernel. Which calls
 * do what is set by the loader, for both ABIs of the machine.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "abi.bpf.h"
#include "cgroup.bpf.h"
#include "generation.bpf.h"

/* By number: bit 0 opens, bit 1 reads, bit 2 writes. */
const volatile __u8 cfg_native[SYSCALL_NUMBERS];
const volatile __u8 cfg_compat[SYSCALL_NUMBERS];

/* The rows that a generation may add; by cgroup, eight times as many. */
const volatile __u32 cfg_rows;

enum fileops_operation {
	FILEOPS_OPEN,
	FILEOPS_READ,
	FILEOPS_WRITE,
};

struct fileops_key {
	char process[16];
	enum fileops_operation operation;
	enum row_generation generation;
};

struct fileops_cgroup_key {
	char process[16];
	struct cgroup_key cgroup;
	enum fileops_operation operation;
	enum row_generation generation;
};

enum row_generation row_generation SEC(".data.generation")
= ROW_GENERATION;
struct row_gate fileops_gate;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct fileops_key);
	__type(value, __u64);
} fileops_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct fileops_cgroup_key);
	__type(value, __u64);
} fileops_cgroup_calls SEC(".maps");

const __u64 fileops_zero = 0;

/* What the current system call does. */
static __always_inline __u8 fileops_does(__u64 number)
{
	if (number >= SYSCALL_NUMBERS || !(cfg_native[number] | cfg_compat[number]))
		return 0;
	return syscall_is_compat() ? cfg_compat[number] : cfg_native[number];
}

static __always_inline int fileops_count(__u64 number)
{
	struct fileops_key key = {.generation = row_generation};
	__u8 does = fileops_does(number);
	enum row_generation why;
	__u64 *count;

	if (!does)
		return 0;
	/* The key is zeroed: some kernels leave what follows the name's end. */
	bpf_get_current_comm(key.process, sizeof(key.process));
	for (int operation = FILEOPS_OPEN; operation <= FILEOPS_WRITE; operation++) {
		if (!(does & 1 << operation))
			continue;
		key.operation = operation;
		count = row_of_task(&fileops_calls, &key, key.generation, &fileops_zero,
				    &fileops_gate, cfg_rows, &why);
		if (!count) {
			struct fileops_key other = {.operation = operation, .generation = why};

			count = bpf_map_lookup_elem(&fileops_calls, &other);
		}
		if (count)
			(*count)++;
	}
	return 0;
}

static __always_inline int fileops_cgroup_count(__u64 number)
{
	struct fileops_cgroup_key key = {.generation = row_generation};
	__u8 does = fileops_does(number);
	enum row_generation why;
	__u64 *count;

	if (!does)
		return 0;
	bpf_get_current_comm(key.process, sizeof(key.process));
	cgroup_of_current(&key.cgroup);
	for (int operation = FILEOPS_OPEN; operation <= FILEOPS_WRITE; operation++) {
		if (!(does & 1 << operation))
			continue;
		key.operation = operation;
		count = row_of_task(&fileops_cgroup_calls, &key, key.generation, &fileops_zero,
				    &fileops_gate, 8 * cfg_rows, &why);
		if (!count) {
			struct fileops_cgroup_key other = {.operation = operation,
							   .generation = why};

			count = bpf_map_lookup_elem(&fileops_cgroup_calls, &other);
		}
		if (count)
			(*count)++;
	}
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(fileops_enter_typed, struct pt_regs *regs, long number)
{
	return fileops_count(number);
}

SEC("raw_tp/sys_enter")
int BPF_PROG(fileops_enter_raw, struct pt_regs *regs, long number)
{
	return fileops_count(number);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(fileops_cgroup_enter_typed, struct pt_regs *regs, long number)
{
	return fileops_cgroup_count(number);
}

SEC("raw_tp/sys_enter")
int BPF_PROG(fileops_cgroup_enter_raw, struct pt_regs *regs, long number)
{
	return fileops_cgroup_count(number);
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
