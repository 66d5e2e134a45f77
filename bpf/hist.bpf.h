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

/* How many bits the value has without its leading zeros. */
static __always_inline __u64 hist_bits(__u64 v)
{
	v |= v >> 1;
	v |= v >> 2;
	v |= v >> 4;
	v |= v >> 8;
	v |= v >> 16;
	v |= v >> 32;
	/* All of them are ones now: add them up, by twos, fours and eights. */
	v -= v >> 1 & 0x5555555555555555;
	v = (v & 0x3333333333333333) + (v >> 2 & 0x3333333333333333);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return v * 0x0101010101010101 >> 56;
}

/*
 * 1 if the mantissa is above the bound, else 0: as both have their top bit
 * set, the sign of the difference says it.
 */
static __always_inline __u64 hist_above(__u64 mantissa, __u64 bound)
{
	return (bound - mantissa) >> 63;
}

/*
 * Without branches: every one of them would double what the verifier has to
 * walk, and the CPU would guess it wrong half of the time. In 64 bits, and
 * with sums only, as that is what older verifiers keep track of.
 */
static __always_inline __u32 hist_slot(__u64 v)
{
	__u64 bits, mantissa, slot;

	if (!v)
		return 0;
	bits = hist_bits(v);
	mantissa = v << (64 - bits);
	slot = 1 + 8 * (bits - 1);
#pragma unroll
	for (int i = 0; i < 8; i++)
		slot += hist_above(mantissa, cfg_hist_bounds[i]);
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
