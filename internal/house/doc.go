// SPDX-License-Identifier: Apache-2.0

// Package house says who may import whom, and holds this and the other rules of
// the house as tests: who may use what of the outside, and the form of files.
package house
