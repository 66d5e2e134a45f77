// SPDX-License-Identifier: Apache-2.0

package diskio

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/kernscope/kernscope/internal/label"
)

// The names of volumes, in a sysfs and a database of udev's.
func TestInfo(t *testing.T) {
	n := names{sysfs: t.TempDir(), udev: t.TempDir()}
	put := func(folder, path, text string) {
		t.Helper()
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		"sda/size": "2048\n", "sda/dev": "8:0\n",
		"cciss!c0d0/size": "2048\n",
		"loop0/size":      "0\n",
		"dm-0/size":       "8\n", "dm-0/dm/name": "vg--a-root\n",
		"dm-1/size": "8\n", "dm-1/dm/name": "bad\xffname\n",
		"other/size": "8\n", "cciss!other\xff/size": "8\n",
		"md127/size": "8\n", "md127/dev": "9:127\n", "md127/md/level": "raid1\n",
		"md_swap/size": "8\n", "md_swap/dev": "9:128\n", "md_swap/md/level": "raid0\n",
	} {
		put(n.sysfs, "block/"+path, text)
	}
	put(n.udev, "b9:127", "S:md/home\nE:MD_NAME=host:home\nE:MD_DEVNAME=home\n")
	put(n.udev, "b8:0", "E:MD_DEVNAME=not an array\n")
	samples, err := n.read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, s := range samples[info] {
		if got[s.Labels[0]] = s.Labels[1]; s.Value != 1 {
			t.Errorf("%v is %v", s.Labels, s.Value)
		}
	}
	want := map[string]string{"sda": "sda", "cciss/c0d0": "cciss/c0d0", "dm-0": "vg--a-root", "md127": "home", "md_swap": "swap"}
	bad, ok := got["dm-1"]
	if !ok || bad == "bad\xffname" {
		t.Errorf("the name that is no text is %q", bad)
	}
	delete(got, "dm-1")
	for _, device := range []string{"other", "cciss/other\xff"} { // a join takes what label makes of them
		want[label.Name(device)] = label.Name(device)
	}
	if len(got) != len(want) {
		t.Errorf("the disks are %v, want %v", got, want)
	}
	for device, name := range want {
		if got[device] != name {
			t.Errorf("the name of %s is %q, want %q", device, got[device], name)
		}
	}
	if _, err := (names{sysfs: filepath.Join(n.sysfs, "none")}).read(context.Background()); err == nil {
		t.Error("a sysfs that is not there can be read")
	}
}
