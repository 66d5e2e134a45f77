// SPDX-License-Identifier: Apache-2.0

package label

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mount is a line of /proc/PID/mountinfo.
type mount struct {
	device  string // of what is mounted: "MAJOR:MINOR"
	root    string // the folder of it that is mounted
	point   string // where it is mounted
	kind    string // of file system
	options []string
}

// parseMounts returns the mounts that a file like /proc/PID/mountinfo lists. It leaves out a line
// that it does not understand: whoever may mount decides what the lines say.
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		// A source may be empty, or "-" like the end of the optional fields.
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(fields) < 6 {
			continue
		}
		end := slices.Index(fields[6:], "-")
		if end < 0 || len(fields[6+end:]) < 4 {
			continue
		}
		last := fields[6+end+1:]
		mounts = append(mounts, mount{
			device: fields[2], root: unescapeOctal(fields[3]), point: unescapeOctal(fields[4]),
			kind: last[0], options: strings.Split(last[2], ","),
		})
	}
	return mounts
}

var octal = regexp.MustCompile(`\\[0-3][0-7]{2}`)

// unescapeOctal undoes the kernel's escaping of white space and backslashes in paths.
func unescapeOctal(path string) string {
	return octal.ReplaceAllStringFunc(path, func(escape string) string {
		c, err := strconv.ParseUint(escape[1:], 8, 8)
		if err != nil {
			return escape
		}
		return string([]byte{byte(c)})
	})
}

// parseHierarchies returns the hierarchies that a file like /proc/PID/cgroup lists, with an option
// of mounts that tells each from the others: a controller, or "name=" and a name. Version 2, which
// has the number 0, has no such option. A hierarchy of version 1 that has neither is left out, as
// is a line that is none.
func parseHierarchies(text string) map[uint32]string {
	hierarchies := make(map[uint32]string)
	for line := range strings.Lines(text) {
		number, rest, _ := strings.Cut(line, ":")
		options, _, isHierarchy := strings.Cut(rest, ":")
		option, _, _ := strings.Cut(options, ",")
		n, err := strconv.ParseUint(number, 10, 32)
		if err == nil && isHierarchy && (n == 0 || option != "") {
			hierarchies[uint32(n)] = option
		}
	}
	return hierarchies
}
