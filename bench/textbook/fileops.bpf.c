//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Opens, reads and writes by process the textbook way: a hash by all that is
 * at hand, shared by all CPUs. User space adds up what it shows.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "regs.bpf.h"
#include "textbook.bpf.h"

/* By number: bit 0 opens, bit 1 reads, bit 2 writes. */
const volatile __u8 cfg_native[512];

enum fileops_operation {
	FILEOPS_OPEN,
	FILEOPS_READ,
	FILEOPS_WRITE,
};

struct fileops_key {
	__u32 pid;
	__u32 tid;
	char process[16];
	__u32 descriptor; /* 0 for what opens */
	enum fileops_operation operation;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, struct fileops_key);
	__type(value, __u64);
} fileops_calls SEC(".maps");

SEC("tp_btf/sys_enter")
int BPF_PROG(fileops_enter, struct pt_regs *regs, long number)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct fileops_key key = {.pid = id >> 32, .tid = id};
	__u8 does = 0;

	if (number >= 0 && number < 512)
		does = cfg_native[number];
	if (!does)
		return 0;
	bpf_get_current_comm(key.process, sizeof(key.process));
	if (does & (1 << FILEOPS_READ | 1 << FILEOPS_WRITE))
		key.descriptor = REGS_ARG1(regs);
	for (int operation = FILEOPS_OPEN; operation <= FILEOPS_WRITE; operation++) {
		if (!(does & 1 << operation))
			continue;
		key.operation = operation;
		textbook_increment(&fileops_calls, &key);
	}
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
