// SPDX-License-Identifier: Apache-2.0

package house

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kernscope/kernscope/collector/builtin"
)

// readme are the headings of a collector's README, in order.
var readme = []string{"Measures", "Does not measure", "Metrics", "Options", "Needs", "Overhead", "Cross-check"}

// headings returns the headings of the second level.
func headings(markdown string) (all []string) {
	for line := range strings.Lines(markdown) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			all = append(all, strings.TrimSpace(heading))
		}
	}
	return all
}

// checkCollectors finds folders of collector/ that are not in the list of
// built-in collectors, entries of the list without a folder, and folders that
// lack one of their files or a heading of their README. A folder has its
// collector's name without dashes, which Go's packages cannot have.
func checkCollectors(files []file) (complaints []string) {
	var folders, listed []string
	for _, f := range files {
		if matches("collector/*", f.dir()) && f.dir() != "collector/builtin" {
			folders = append(folders, path.Base(f.dir()))
		}
	}
	folders = slices.Compact(slices.Sorted(slices.Values(folders)))
	programs := make(map[string]bool) // by folder
	for _, spec := range builtin.Collectors() {
		name := strings.ReplaceAll(spec.Name, "-", "")
		listed = append(listed, name)
		programs[name] = spec.Load != nil
	}
	for _, name := range folders {
		if !slices.Contains(listed, name) {
			complaints = append(complaints, fmt.Sprintf("collector/%s: is not in builtin.Collectors", name))
		}
	}
	for _, name := range listed {
		for _, want := range []string{name + ".bpf.c", name + ".go", name + "_test.go", "README.md"} {
			if want == name+".bpf.c" && !programs[name] {
				continue // it has only sources
			}
			i := slices.IndexFunc(files, func(f file) bool { return f.path == path.Join("collector", name, want) })
			if i < 0 {
				complaints = append(complaints, fmt.Sprintf("collector/%s: %s is missing", name, want))
			} else if got := headings(files[i].text); want == "README.md" && !slices.Equal(got, readme) {
				complaints = append(complaints, fmt.Sprintf("%s: its headings are %s; they should be %s", files[i].path, strings.Join(got, ", "), strings.Join(readme, ", ")))
			}
		}
	}
	if !slices.IsSorted(listed) {
		complaints = append(complaints, "collector/builtin: the list is not sorted by name")
	}
	return complaints
}
