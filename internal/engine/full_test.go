// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kernscope/kernscope/collector/fileops"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestFullTableIsSaidOnce: the log says which table is full and what helps, when
// that begins and not at every reading; a metric says it all the time.
func TestFullTableIsSaidOnce(t *testing.T) {
	kerneltest.LeaveCgroups(t)
	cfg := config(t, kerneltest.WithRows(fileops.Spec(), 8))
	log := logged(&cfg)
	e := engine.New(cfg)
	defer e.Close()
	const warning = "Table is full"
	for i := range 3 {
		for name := range 20 {
			kerneltest.ReadAs(t, kerneltest.Own(fmt.Sprintf("%d-%d-", i, name)), 1)
		}
		n := kerneltest.Read(t, e)
		if full := n.Value("kernscope_table_full", "collector=fileops", "table=fileops_calls"); full != 1 {
			t.Errorf("round %d: kernscope_table_full is %v", i, full)
		}
		limit := n.Value("kernscope_table_limit", "collector=fileops", "table=fileops_calls")
		if rows := n.Value("kernscope_table_rows", "collector=fileops", "table=fileops_calls"); rows > limit || limit != 8 {
			t.Errorf("round %d: %v rows of %v have names", i, rows, limit)
		}
	}
	if n := log.count(warning); n != 1 {
		t.Errorf("the log says %d times that a table is full: %q", n, log.all())
	}
	for _, line := range log.all() {
		if strings.Contains(line, warning) && !(strings.Contains(line, "collector=fileops") && strings.Contains(line, "table=fileops_calls") &&
			strings.Contains(line, "--collector.fileops.rows")) {
			t.Errorf("the log does not say which table and what helps: %s", line)
		}
	}
}
