// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"regexp"
	"sync"
)

// pattern returns a function that compiles a regular expression when it is first called: serving
// needs none of them.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
