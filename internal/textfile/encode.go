// SPDX-License-Identifier: Apache-2.0

package textfile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/prometheus/common/expfmt"

	"github.com/kernscope/kernscope/internal/metric"
)

// Encode returns families in Prometheus' text format 0.0.4, with classic histograms and without
// timestamps. It leaves out a family that cannot be right, and returns an error that names the
// family. Even then, the text of the other families is valid.
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
