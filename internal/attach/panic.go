// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"
	"runtime/debug"
)

// panicError is what a function panicked with. The stack is apart, as it differs
// from one panic to the next, and reasons become labels of metrics.
type panicError struct {
	value any
	stack []byte
}

// Error returns the value.
func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// Safely runs f and returns its error, or one that says what f panicked with.
func Safely(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value, debug.Stack()}
		}
	}()
	return f()
}
