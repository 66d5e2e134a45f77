// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/prometheus/common/expfmt"

	"github.com/kernscope/kernscope/internal/metric"
)

// Encode writes families in Prometheus' text format 0.0.4: classic histograms,
// no timestamps. A family that cannot be right is left out, with an error that
// names it; the text of the others is good all the same.
func Encode(families []metric.Family) ([]byte, error) {
	gathered, wrong := metric.Families(families).Gather()
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range gathered {
		good := text.Len()
		if err := encoder.Encode(family); err != nil {
			text.Truncate(good)
			wrong = errors.Join(wrong, fmt.Errorf("family %s: %w", family.GetName(), err))
		}
	}
	return text.Bytes(), wrong
}
