/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KERNSCOPE_READ_BPF_H
#define KERNSCOPE_READ_BPF_H

/*
 * FIELD reads a member of a kernel object. In a program whose pointers the
 * verifier knows by BTF (tp_btf) that is one load, and stays possible under
 * lockdown=confidentiality; elsewhere it takes a helper call of some 50 ns.
 * "typed" is a constant after inlining, so only one of the two remains and
 * both kinds of program share one body.
 */
#define FIELD(typed, ptr, member)                                                                  \
	({                                                                                         \
		typeof((ptr)->member) value_ = (typeof((ptr)->member))0;                           \
		if (typed)                                                                         \
			value_ = (ptr)->member;                                                    \
		else                                                                               \
			bpf_core_read(&value_, sizeof(value_), &(ptr)->member);                    \
		value_;                                                                            \
	})

#endif
