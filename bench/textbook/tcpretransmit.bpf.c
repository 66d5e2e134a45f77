//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * TCP retransmits the textbook way, as bcc's tcpretrans counts them: in a hash
 * by the addresses and ports of both ends.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "textbook.bpf.h"

#define TCPRETRANSMIT_AF_INET 2

struct sock_common___ends {
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	struct in6_addr skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

struct tcpretransmit_address {
	__be32 words[4]; /* IPv4 is ::ffff:a.b.c.d */
	__u32 bits; /* 128 */
};

struct tcpretransmit_flow {
	struct tcpretransmit_address source;
	struct tcpretransmit_address destination;
	__u32 source_port;
	__u32 destination_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTBOOK_ENTRIES);
	__type(key, struct tcpretransmit_flow);
	__type(value, __u64);
} tcpretransmit_flows SEC(".maps");

static __always_inline void tcpretransmit_ipv4(struct tcpretransmit_address *to, __be32 address)
{
	to->words[2] = bpf_htonl(0xffff);
	to->words[3] = address;
}

static __always_inline void tcpretransmit_ipv6(struct tcpretransmit_address *to,
					       struct in6_addr *address)
{
	for (int i = 0; i < 4; i++)
		to->words[i] = address->in6_u.u6_addr32[i];
}

static __always_inline int tcpretransmit_count(struct sock_common *sk)
{
	struct tcpretransmit_flow key = {.source.bits = 128, .destination.bits = 128};
	struct sock_common___ends *ends = (void *)sk;

	if (sk->skc_family == TCPRETRANSMIT_AF_INET) {
		tcpretransmit_ipv4(&key.source, ends->skc_rcv_saddr);
		tcpretransmit_ipv4(&key.destination, sk->skc_daddr);
	} else {
		tcpretransmit_ipv6(&key.source, &ends->skc_v6_rcv_saddr);
		tcpretransmit_ipv6(&key.destination, &sk->skc_v6_daddr);
	}
	key.source_port = ends->skc_num;
	key.destination_port = bpf_ntohs(ends->skc_dport);
	textbook_increment(&tcpretransmit_flows, &key);
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcpretransmit_segment, struct sock *sk)
{
	return tcpretransmit_count(&sk->__sk_common);
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(tcpretransmit_synack, struct sock *listener, struct request_sock *request)
{
	return tcpretransmit_count(&request->__req_common);
}

SEC("license")
char LICENSE[] = "Dual BSD/GPL";
