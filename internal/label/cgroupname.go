// SPDX-License-Identifier: Apache-2.0

package label

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Container managers name a container's cgroup by the container's id: docker-ID.scope,
// cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, kubepods...:ID, ID. The cgroup of the
// process that monitors the container has the id in its name, too, and "conmon".
var (
	fullID      = regexp.MustCompile(`[0-9a-f]{64}`)
	byID        = regexp.MustCompile(`(?:^|[-_:])([0-9a-f]{64})(?:\.scope|\.service)?$`)
	byMachine   = regexp.MustCompile(`^(?:machine-(.+)\.scope|systemd-nspawn@(.+)\.service|lxc\.payload\.(.+))$`)
	podUID      = regexp.MustCompile(`pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice|:|$)`)
	systemdUnit = regexp.MustCompile(`\.(?:service|scope|socket|mount|swap)$`)
	escaped     = regexp.MustCompile(`\\x[0-9a-f]{2}`)
)

// shortID is the number of digits of a container's id that people use.
const shortID = 12

// shortIDs are the ids of containers that label values show shortened, by what they show.
type shortIDs map[string]string

// shorten returns what label values show of an id: its first digits, or all of it if another id
// begins with the same.
func (s shortIDs) shorten(id string) string {
	short := id[:shortID]
	if other, taken := s[short]; taken && other != id {
		return id
	}
	s[short] = id
	return short
}

// within returns those that label values of the path show.
func (s shortIDs) within(path string) shortIDs {
	found := make(shortIDs)
	for _, id := range fullID.FindAllString(path, -1) {
		if short := id[:shortID]; s[short] == id {
			found[short] = id
		}
	}
	return found
}

// name returns the label values of a cgroup from its path in its hierarchy. The first is a name by
// which people know the cgroup: the systemd unit, the pod, or the path. The second is the container
// that the cgroup is in, or "".
func (s shortIDs) name(path string) (name, container string) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	pod, end := "", 0
	for i, part := range parts {
		if m := podUID.FindStringSubmatch(part); m != nil {
			pod = "pod" + strings.ReplaceAll(m[1], "_", "-")
		}
		if c := s.containerName(parts, i); c != "" {
			container, end = c, i+1
		}
	}
	inner := parts[end:]
	switch {
	case container != "" && anyUnit(inner):
		name = s.unitName(inner)
	case pod != "":
		name = pod
	case container != "":
		name = s.unitName(parts[:end])
	default:
		name = s.unitName(parts)
	}
	if slices.Contains(reserved, name) || strings.HasPrefix(name, unnamed) {
		name = "/" + name // the path must not read like what stands for something else
	}
	return Name(name), Name(container)
}

// containerName returns the name of the container whose cgroup is part i of the path, or "" if that
// part is not a container's cgroup.
func (s shortIDs) containerName(parts []string, i int) string {
	part := parts[i]
	if m := byID.FindStringSubmatch(part); m != nil && !strings.Contains(part, "conmon") {
		return s.shorten(m[1])
	}
	if m := byMachine.FindStringSubmatch(part); m != nil {
		return unescape(m[1]+m[2]) + m[3] // LXC does not escape
	}
	if i > 0 && (parts[i-1] == "lxc" || parts[i-1] == "lxc.payload") {
		return part
	}
	return ""
}

// unitName returns the path up to its last systemd unit, without its slices: a unit's name is its
// own in all slices. It leaves out cgroups below the last unit, because the unit manages them
// itself. Without a unit, it returns a slice by its name, which contains those around it, and of
// anything else the whole path.
func (s shortIDs) unitName(parts []string) string {
	last := 0
	var plain []string // neither slices nor below the last unit
	for i, part := range parts {
		if systemdUnit.MatchString(part) {
			last = i + 1
		}
	}
	for _, part := range parts[:cmp.Or(last, len(parts))] {
		if !strings.HasSuffix(part, ".slice") {
			plain = append(plain, part)
		}
	}
	switch {
	case len(parts) == 0:
		return "/"
	case len(plain) == 0:
		return parts[len(parts)-1]
	case last > 0:
		parts = plain
	}
	return fullID.ReplaceAllStringFunc(path.Join(parts...), s.shorten)
}

// anyUnit reports whether a part of the path is a systemd unit.
func anyUnit(parts []string) bool {
	for _, part := range parts {
		if systemdUnit.MatchString(part) {
			return true
		}
	}
	return false
}

// unescape undoes systemd's escaping of a name that is a part of a unit's name.
func unescape(name string) string {
	return escaped.ReplaceAllStringFunc(name, func(hex string) string {
		b, err := strconv.ParseUint(hex[2:], 16, 8)
		if err != nil {
			return hex
		}
		return string([]byte{byte(b)})
	})
}
