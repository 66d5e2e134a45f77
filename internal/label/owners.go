// SPDX-License-Identifier: Apache-2.0

package label

// Gone is the label of what belonged to owners that exist no more.
const Gone = "gone"

// Owners knows things that come and go, such as cgroups, by a key field that
// identifies each of them for good. It is used by one goroutine at a time.
type Owners interface {
	// Look finds out about the owners of these fields, which all existed
	// before the call, and returns those that certainly exist no more.
	// Others that it was asked of before may be forgotten.
	Look(raw map[string]bool) (gone map[string]bool)
	// Label is what a label reads for the owner of a field that was looked at.
	Label(name, raw string) string
}
