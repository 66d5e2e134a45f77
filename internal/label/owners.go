// SPDX-License-Identifier: Apache-2.0

package label

// Gone is the label value of rows that belonged to stale owners: owners that no longer exist.
const Gone = "gone"

// Owners finds out about things that come and go and own rows, such as cgroups. A key member
// identifies each owner for good. Only one goroutine may use Owners at a time.
type Owners interface {
	// Look finds out about the owners with these raw key members, and returns those that are
	// certainly stale. All of them existed before the call. Look may forget owners that earlier
	// calls asked about and this one does not.
	Look(raw map[string]bool) (gone map[string]bool)
	// Label returns the value of a label for the owner with a raw key member, about which the last
	// Look was asked. It may be Gone before the owner is stale, while programs may still count for it.
	Label(name, raw string) string
}
