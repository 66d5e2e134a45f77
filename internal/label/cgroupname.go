// SPDX-License-Identifier: Apache-2.0

package label

import (
	"path"
	"regexp"
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

// cgroupName returns a name by which people know a cgroup, from its path in its hierarchy: the
// systemd unit, the pod, or the path without its slices. It also returns the container that the
// cgroup is in, or "".
func cgroupName(path string) (name, container string) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	pod, end := "", 0
	for i, part := range parts {
		if m := podUID.FindStringSubmatch(part); m != nil {
			pod = "pod" + strings.ReplaceAll(m[1], "_", "-")
		}
		if c := containerName(parts, i); c != "" {
			container, end = c, i+1
		}
	}
	inner := parts[end:]
	switch {
	case container != "" && anyUnit(inner):
		name = unitName(inner)
	case pod != "":
		name = pod
	case container != "":
		name = unitName(parts[:end])
	default:
		name = unitName(parts)
	}
	if name == Other || name == Gone {
		name = "/" + name // a real cgroup must not read like an overflow row or a stale owner
	}
	return valid(name), valid(container)
}

// containerName returns the name of the container whose cgroup is part i of the path, or "" if that
// part is not a container's cgroup.
func containerName(parts []string, i int) string {
	part := parts[i]
	if m := byID.FindStringSubmatch(part); m != nil && !strings.Contains(part, "conmon") {
		return m[1][:shortID]
	}
	if m := byMachine.FindStringSubmatch(part); m != nil {
		return unescape(m[1] + m[2] + m[3])
	}
	if i > 0 && (parts[i-1] == "lxc" || parts[i-1] == "lxc.payload") {
		return part
	}
	return ""
}

// unitName returns the path up to its last systemd unit, without its slices. If the path has no
// unit, it returns all of the path without its slices. It leaves out cgroups below the last unit,
// because the unit manages them itself.
func unitName(parts []string) string {
	var kept []string
	last := 0
	for _, part := range parts {
		if strings.HasSuffix(part, ".slice") {
			continue
		}
		kept = append(kept, fullID.ReplaceAllStringFunc(part, func(id string) string { return id[:shortID] }))
		if systemdUnit.MatchString(part) {
			last = len(kept)
		}
	}
	if last > 0 {
		kept = kept[:last]
	}
	switch {
	case len(kept) > 0:
		return path.Join(kept...)
	case len(parts) > 0:
		return parts[len(parts)-1] // processes that are directly in a slice
	}
	return "/"
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

// valid returns a folder's name, which may be any bytes, as valid UTF-8.
func valid(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
