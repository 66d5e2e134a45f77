/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_HIST_BPF_H
#define KERNSCOPE_HIST_BPF_H

/*
 * The one histogram. Its slots are the buckets of a Prometheus native
 * histogram of schema 3 (eight per doubling), found without floating point.
 *
 * A bucket's upper bound in nanoseconds is unit * 2^(k/8). Written as
 * mantissa * 2^e with the mantissa's top bit at bit 63, the bounds of every
 * doubling have the same eight mantissas, which user space computes exactly
 * and stores here in ascending order, rounded down: an integer is above the
 * bound if and only if it is above the rounded one.
 *
 *   slot 0                the value zero
 *   slot 1 + 8e + i       top bit of the value is e, i of the bounds are
 *                         below its mantissa; i == 8 is the next doubling's 0
 *   slot HIST_SLOTS - 1   everything above: only +Inf holds it
 */
#define HIST_DOUBLINGS 38 /* the last finite bound lies above 2^38 ns, 4.5 minutes */
#define HIST_SLOTS (1 + 8 * HIST_DOUBLINGS + 1 + 1)
#define HIST_OVERFLOW (HIST_SLOTS - 1)

struct hist {
	__u64 slots[HIST_SLOTS];
	__u64 sum; /* ns */
};

/* Set by the loader for the unit of the exposition. */
const volatile __u64 cfg_hist_bounds[8];

static __always_inline __u32 hist_top_bit(__u64 v)
{
	__u32 e = 0;

	if (v >> 32) {
		e = 32;
		v >>= 32;
	}
	if (v >> 16) {
		e += 16;
		v >>= 16;
	}
	if (v >> 8) {
		e += 8;
		v >>= 8;
	}
	if (v >> 4) {
		e += 4;
		v >>= 4;
	}
	if (v >> 2) {
		e += 2;
		v >>= 2;
	}
	return e + (v >> 1);
}

static __always_inline __u32 hist_slot(__u64 v)
{
	__u32 e, i = 0, slot;
	__u64 m;

	if (!v)
		return 0;
	e = hist_top_bit(v);
	m = v << (63 - e);
	if (m > cfg_hist_bounds[3])
		i = 4;
	if (m > cfg_hist_bounds[i + 1])
		i += 2;
	if (m > cfg_hist_bounds[i])
		i += 1;
	if (i == 7 && m > cfg_hist_bounds[7])
		i = 8;
	slot = 1 + 8 * e + i;
	return slot < HIST_OVERFLOW ? slot : HIST_OVERFLOW;
}

/* For per-CPU values at hooks that cannot interrupt each other. */
static __always_inline void hist_observe(struct hist *h, __u64 ns)
{
	__u32 slot = hist_slot(ns);

	if (slot < HIST_SLOTS)
		h->slots[slot]++;
	h->sum += ns;
}

/* For values that several contexts or CPUs may update at once. */
static __always_inline void hist_observe_atomic(struct hist *h, __u64 ns)
{
	__u32 slot = hist_slot(ns);

	if (slot < HIST_SLOTS)
		__sync_fetch_and_add(&h->slots[slot], 1);
	__sync_fetch_and_add(&h->sum, ns);
}

#endif
