// SPDX-License-Identifier: Apache-2.0

// Package house holds the rules of the house as tests: who may import whom,
// who may use what of the outside, and the form of files. It has no code of
// its own.
package house
