//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * TCP segments that were sent again, in total and per destination, at the two
 * places where the kernel counts them itself: when it has handed a segment of
 * a connection, SYN and FIN included, to the network layer once more, and when
 * a listener has its SYN-ACK. A retransmit may carry many segments at once.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "generation.bpf.h"
#include "read.bpf.h"

#define TCPRETRANSMIT_AF_INET6 10

/*
 * How far the peer has come. Each kind has rows of its own: whoever sends SYNs
 * in the name of others, or asks addresses that do not answer, fills no row of
 * a peer that has answered.
 */
enum tcpretransmit_kind {
	TCPRETRANSMIT_ESTABLISHED, /* its answer has shown that it has the address */
	TCPRETRANSMIT_SYN, /* this machine has asked it */
	TCPRETRANSMIT_SYN_ACK, /* somebody has asked in its name */
};

/* Of include/net/tcp_states.h, which never change: TCP_INFO shows them to users. */
#define TCPRETRANSMIT_TCP_SYN_SENT 2
#define TCPRETRANSMIT_TCP_SYN_RECV 3

/* An address, or the addresses that share its first bits. */
struct tcpretransmit_destination {
	__be32 address[4]; /* IPv4 is ::ffff:a.b.c.d */
	__u32 bits; /* 128 is the address alone */
};

struct tcpretransmit_key {
	struct tcpretransmit_destination destination;
	enum row_generation generation;
};

/* The addresses of peers that have answered that a generation may add. */
const volatile __u32 cfg_rows;

enum row_generation row_generation SEC(".data.generation")
= ROW_GENERATION;

/* Segments that are not under their own address. */
struct {
	__u64 addresses_full; /* counted under the address's prefix */
	__u64 prefixes_full; /* counted under destination="other" */
} losses;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} tcpretransmit_total SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, enum tcpretransmit_kind);
	__type(value, __u64);
} tcpretransmit_kinds SEC(".maps");

/* The rows of a kind. They have their memory from the start: whole networks fail at a time. */
#define TCPRETRANSMIT_ROWS(kind)                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, 1024);                                                         \
		__type(key, struct tcpretransmit_key);                                             \
		__type(value, __u64);                                                              \
	} tcpretransmit_##kind##_addresses SEC(".maps");                                           \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, 1024);                                                         \
		__type(key, struct tcpretransmit_key);                                             \
		__type(value, __u64);                                                              \
	} tcpretransmit_##kind##_prefixes SEC(".maps");                                            \
	struct row_gate tcpretransmit_##kind##_gate;                                               \
	struct row_gate tcpretransmit_##kind##_prefix_gate

TCPRETRANSMIT_ROWS(established);
TCPRETRANSMIT_ROWS(syn);
TCPRETRANSMIT_ROWS(syn_ack);

const __u64 tcpretransmit_zero = 0;

static __always_inline bool tcpretransmit_is_ipv4(const struct tcpretransmit_destination *d)
{
	return !d->address[0] && !d->address[1] && d->address[2] == bpf_htonl(0xffff);
}

/* An IPv6 socket has the peer's address in the one form, mapped if it is IPv4. */
static __always_inline void tcpretransmit_peer(bool typed, struct sock_common *sk,
					       struct tcpretransmit_destination *d)
{
	d->bits = 128;
	/* The member is there if the kernel has IPv6. */
	if (bpf_core_field_exists(sk->skc_v6_daddr) &&
	    FIELD(typed, sk, skc_family) == TCPRETRANSMIT_AF_INET6) {
		d->address[0] = FIELD(typed, sk, skc_v6_daddr.in6_u.u6_addr32[0]);
		d->address[1] = FIELD(typed, sk, skc_v6_daddr.in6_u.u6_addr32[1]);
		d->address[2] = FIELD(typed, sk, skc_v6_daddr.in6_u.u6_addr32[2]);
		d->address[3] = FIELD(typed, sk, skc_v6_daddr.in6_u.u6_addr32[3]);
		return;
	}
	d->address[2] = bpf_htonl(0xffff);
	d->address[3] = FIELD(typed, sk, skc_daddr);
}

/* What one owner has, as a rule: a /24 of IPv4, a /56 of IPv6. */
static __always_inline void tcpretransmit_widen(struct tcpretransmit_destination *d)
{
	if (tcpretransmit_is_ipv4(d)) {
		d->address[3] &= bpf_htonl(0xffffff00);
		d->bits = 96 + 24;
		return;
	}
	d->address[1] &= bpf_htonl(0xffffff00);
	d->address[2] = d->address[3] = 0;
	d->bits = 56;
}

/* The tables of a kind, and the addresses that it may add; half as many prefixes. */
struct tcpretransmit_rows {
	void *addresses;
	void *prefixes;
	struct row_gate *address_gate;
	struct row_gate *prefix_gate;
	__u32 limit;
};

#define TCPRETRANSMIT_ROW(kind, rows, key, segments)                                               \
	tcpretransmit_row(&(struct tcpretransmit_rows){&tcpretransmit_##kind##_addresses,          \
						       &tcpretransmit_##kind##_prefixes,           \
						       &tcpretransmit_##kind##_gate,               \
						       &tcpretransmit_##kind##_prefix_gate, rows}, \
			  key, segments)

/*
 * The row that has room: the address's, its prefix's, or the last. The rows of
 * addresses count for their prefix, which has a share of them.
 */
static __always_inline __u64 *tcpretransmit_row(const struct tcpretransmit_rows *of,
						struct tcpretransmit_key *key, __u64 segments)
{
	struct tcpretransmit_key prefix = *key, other = {};
	__be32 *network = prefix.destination.address;
	enum row_generation why;
	__u64 payer, *row;

	tcpretransmit_widen(&prefix.destination);
	payer = ((__u64)network[0] << 32 | network[1]) ^ ((__u64)network[2] << 32 | network[3]);
	row = row_of_payer(of->addresses, key, key->generation, &tcpretransmit_zero,
			   of->address_gate, of->limit, payer, &why);
	if (row)
		return row;
	row = row_of_payer(of->prefixes, &prefix, key->generation, &tcpretransmit_zero,
			   of->prefix_gate, of->limit / 2, 0, &why);
	if (row) {
		__sync_fetch_and_add(&losses.addresses_full, segments);
		return row;
	}
	__sync_fetch_and_add(&losses.prefixes_full, segments);
	other.generation = why;
	return bpf_map_lookup_elem(of->prefixes, &other);
}

static __always_inline void tcpretransmit_add(__u64 *row, __u64 segments)
{
	/* A retransmit from a system call may be interrupted by one from a timer. */
	if (row)
		__sync_fetch_and_add(row, segments);
}

static __always_inline int tcpretransmit_count(bool typed, struct sock_common *sk,
					       enum tcpretransmit_kind kind, __u64 segments)
{
	struct tcpretransmit_key key = {.generation = row_generation};
	__u64 *row = NULL;
	__u32 zero = 0;

	tcpretransmit_add(bpf_map_lookup_elem(&tcpretransmit_total, &zero), segments);
	tcpretransmit_add(bpf_map_lookup_elem(&tcpretransmit_kinds, &kind), segments);
	tcpretransmit_peer(typed, sk, &key.destination);
	switch (kind) {
	case TCPRETRANSMIT_ESTABLISHED:
		row = TCPRETRANSMIT_ROW(established, cfg_rows, &key, segments);
		break;
	case TCPRETRANSMIT_SYN:
		row = TCPRETRANSMIT_ROW(syn, cfg_rows / 2, &key, segments);
		break;
	case TCPRETRANSMIT_SYN_ACK:
		row = TCPRETRANSMIT_ROW(syn_ack, cfg_rows / 2, &key, segments);
		break;
	}
	tcpretransmit_add(row, segments);
	return 0;
}

/* A socket in SYN_RECV was asked while it asked itself, and sends its SYN again as a SYN-ACK. */
static __always_inline enum tcpretransmit_kind tcpretransmit_kind(bool typed,
								  struct sock_common *sk)
{
	switch (FIELD(typed, sk, skc_state)) {
	case TCPRETRANSMIT_TCP_SYN_SENT:
		return TCPRETRANSMIT_SYN;
	case TCPRETRANSMIT_TCP_SYN_RECV:
		return TCPRETRANSMIT_SYN_ACK;
	}
	return TCPRETRANSMIT_ESTABLISHED;
}

/*
 * ad892e912b84 "tcp: trace retransmit failures in tcp_retransmit_skb": since
 * then the tracepoint also fires for what was not sent, and says so. Types
 * match if all of their members do, hence declarations that have none.
 */
struct sock___any;
struct sk_buff___any;
typedef void (*btf_trace_tcp_retransmit_skb___error)(void *, const struct sock___any *,
						     const struct sk_buff___any *, int);

static __always_inline bool tcpretransmit_failed(__u64 *ctx)
{
	if (bpf_core_type_matches(btf_trace_tcp_retransmit_skb___error))
		return (int)ctx[2];
	return false;
}

static __always_inline int tcpretransmit_segment(bool typed, __u64 *ctx)
{
	struct sock_common *sk = &((struct sock *)ctx[0])->__sk_common;
	struct tcp_skb_cb *cb = (void *)ctx[1] + bpf_core_field_offset(struct sk_buff, cb);

	if (tcpretransmit_failed(ctx))
		return 0;
	return tcpretransmit_count(typed, sk, tcpretransmit_kind(typed, sk),
				   FIELD(typed, cb, tcp_gso_segs));
}

SEC("tp_btf/tcp_retransmit_skb")
int tcpretransmit_segment_typed(__u64 *ctx)
{
	return tcpretransmit_segment(true, ctx);
}

SEC("raw_tp/tcp_retransmit_skb")
int tcpretransmit_segment_raw(__u64 *ctx)
{
	return tcpretransmit_segment(false, ctx);
}

/*
 * The peer is the request's: the listener has none. A request of Fast Open comes
 * here too; until it is answered, its socket sends nothing else again.
 */
SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(tcpretransmit_synack_typed, struct sock *listener, struct request_sock *request)
{
	return tcpretransmit_count(true, &request->__req_common, TCPRETRANSMIT_SYN_ACK, 1);
}

SEC("raw_tp/tcp_retransmit_synack")
int BPF_PROG(tcpretransmit_synack_raw, struct sock *listener, struct request_sock *request)
{
	return tcpretransmit_count(false, &request->__req_common, TCPRETRANSMIT_SYN_ACK, 1);
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
