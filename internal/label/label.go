// SPDX-License-Identifier: Apache-2.0

// Package label holds the label decoders: they turn the raw key members of BPF maps into label
// values. Each decoder has its own cache, and decoders share no state.
package label

// Decoder turns the raw bytes of a key member, in the machine's byte order, into a label value.
// Only one goroutine may use a decoder at a time.
type Decoder interface {
	Label(raw []byte) string
}
