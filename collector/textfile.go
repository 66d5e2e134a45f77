// SPDX-License-Identifier: Apache-2.0

package collector

import "strings"

// TextfileName returns the name of the file in node_exporter's textfile directory
// that has the metrics of the named collector.
func TextfileName(collector string) string {
	return strings.ReplaceAll(collector, "-", "_") + ".prom"
}
