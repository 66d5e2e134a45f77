// SPDX-License-Identifier: Apache-2.0

// Package histtest holds programs that run the histogram of bpf/hist.bpf.h inside the kernel. Only
// tests use them.
package histtest
