//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "hist.bpf.h"

struct hist plain, atomic;

/* Never attached: the test runs them with the value as their argument. */

SEC("raw_tp")
int slot(__u64 *ctx)
{
	return hist_slot(ctx[0]);
}

SEC("raw_tp")
int observe(__u64 *ctx)
{
	hist_observe(&plain, ctx[0]);
	hist_observe_atomic(&atomic, ctx[0]);
	return 0;
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
