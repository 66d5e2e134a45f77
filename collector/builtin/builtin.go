// SPDX-License-Identifier: Apache-2.0

// Package builtin is the list of built-in collectors, the only one there is.
package builtin

import (
	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/collector/cachestat"
	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/collector/memory"
	"github.com/kernscope/kernscope/collector/schedlat"
	"github.com/kernscope/kernscope/collector/syscall"
	"github.com/kernscope/kernscope/collector/tcpretransmit"
)

// Collectors returns the built-in collectors, by name.
func Collectors() []collector.Spec {
	return []collector.Spec{
		cachestat.Spec(),
		diskio.Spec(),
		fileops.Spec(),
		memory.Spec(),
		schedlat.Spec(),
		syscall.Spec(),
		tcpretransmit.Spec(),
	}
}
