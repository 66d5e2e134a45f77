// SPDX-License-Identifier: Apache-2.0

// Package histtest holds programs that run the histogram of bpf/hist.bpf.h inside the kernel. Only
// tests use them.
package histtest

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" histtest hist.bpf.c -- -I../../../bpf
