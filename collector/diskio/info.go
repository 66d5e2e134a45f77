// SPDX-License-Identifier: Apache-2.0

package diskio

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/kernscope/kernscope/collector"
	"github.com/kernscope/kernscope/internal/label"
	"github.com/kernscope/kernscope/internal/metric"
)

const info = "ebpf_disk_info"

// names is where the names of disks and of the volumes on them are.
type names struct {
	sysfs string
	udev  string // its database
}

func openInfo(context.Context) (collector.Reader, error) {
	return collector.ReadFunc(names{sysfs: "/sys", udev: "/run/udev/data"}.read), nil
}

// read returns a sample for each disk that has a size.
func (n names) read(context.Context) (map[string][]metric.Sample, error) {
	disks, err := os.ReadDir(filepath.Join(n.sysfs, "block"))
	if err != nil {
		return nil, err
	}
	var samples []metric.Sample
	for _, d := range disks {
		folder := filepath.Join(n.sysfs, "block", d.Name())
		if size := line(filepath.Join(folder, "size")); size == "" || size == "0" {
			continue
		}
		device := strings.ReplaceAll(d.Name(), "!", "/") // as sysfs writes it
		samples = append(samples, metric.Sample{Labels: []string{label.Name(device), label.Name(n.volume(folder, device))}, Value: 1})
	}
	return map[string][]metric.Sample{info: samples}, nil
}

// volume returns the name that people give a volume of device mapper or an array of
// md; of any other disk, the device's own name.
func (n names) volume(folder, device string) string {
	// Their drivers name them so. Most disks are neither, and need no look into their folder.
	switch {
	case strings.HasPrefix(device, "dm-"):
		return cmp.Or(line(filepath.Join(folder, "dm/name")), device)
	case !strings.HasPrefix(device, "md"):
		return device
	}
	if _, err := os.Stat(filepath.Join(folder, "md")); err != nil {
		return device
	}
	// The kernel knows only names that were asked for when the array was made.
	if name := n.property("b"+line(filepath.Join(folder, "dev")), "MD_DEVNAME"); name != "" {
		return name
	}
	return strings.TrimPrefix(device, "md_")
}

// property returns what udev has found out about a device; "" is nothing.
func (n names) property(device, name string) string {
	text, err := os.ReadFile(filepath.Join(n.udev, device))
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "E:"+name+"="); ok {
			return value
		}
	}
	return ""
}

// longestLine is more than the kernel lets a name have: DM_NAME_LEN is 128.
const longestLine = 256

// line returns the line that a file of sysfs has; "" if there is no such file. It reads the line
// alone, as os.ReadFile takes a page for each file of sysfs.
func line(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text := make([]byte, longestLine)
	n, err := f.Read(text)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text[:n]), "\n")
}
