// SPDX-License-Identifier: Apache-2.0

// Package label turns raw key fields of the kernel halves into label values.
// Every decoder owns what it caches; there is no shared state.
package label

// Decoder turns the raw bytes of a key field, in the machine's byte order,
// into a label value. It is used by one goroutine at a time.
type Decoder interface {
	Label(raw []byte) string
}
