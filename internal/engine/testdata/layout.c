//go:build ignore
// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause

// A program for a test: when an interface of module wireguard is made it stores
// where a member lies in a structure of the module.

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct wg_device {
	__u16 incoming_port;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} layout SEC(".maps");

SEC("kprobe/wg_newlink")
int layout_newlink(void *ctx)
{
	__u32 key = 0;
	__u64 *offset = bpf_map_lookup_elem(&layout, &key);

	if (offset)
		*offset = bpf_core_field_offset(struct wg_device, incoming_port);
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
