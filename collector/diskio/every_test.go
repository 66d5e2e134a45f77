// SPDX-License-Identifier: Apache-2.0

package diskio_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kernscope/kernscope/collector/diskio"
	"github.com/kernscope/kernscope/internal/engine"
	"github.com/kernscope/kernscope/internal/kerneltest"
)

// TestEveryDevice reads from each block device of the machine, whatever it is.
func TestEveryDevice(t *testing.T) {
	loop(t, 1<<20)
	e := kerneltest.Run(t, diskio.Spec())
	exactly(t, func(t *trial) { everyDevice(t, e, t.hidden) })
}

func everyDevice(t testing.TB, e *engine.Engine, watch *kerneltest.Watch) {
	t.Helper()
	before := kerneltest.Read(t, e)
	disks, err := os.ReadDir("/sys/block")
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, entry := range disks {
		d := disk{entry.Name()}
		f, err := os.OpenFile("/dev/"+strings.ReplaceAll(d.name, "!", "/"), os.O_RDONLY|unix.O_DIRECT, 0)
		if err != nil {
			t.Logf("%s cannot be opened: %v", d.name, err)
			continue
		}
		n, err := f.ReadAt(aligned(t, 64<<10), 0)
		f.Close()
		if n == 0 {
			t.Logf("%s cannot be read: %v", d.name, err)
			continue
		}
		asked = append(asked, strings.ReplaceAll(d.name, "!", "/"))
	}
	if len(asked) == 0 {
		t.Fatal("the machine has no disk")
	}
	t.Logf("read from %v", asked)
	after := kerneltest.Read(t, e)
	after.Lost(t)
	hidden := watch.Hidden()
	for _, name := range asked {
		more := collected(after, name)["read"].ios - collected(before, name)["read"].ios
		if _, err := os.Stat((disk{strings.ReplaceAll(name, "/", "!")}).sysfs("")); err != nil {
			t.Logf("%s has gone", name)
			continue
		}
		kerneltest.Check(t, name+" was read from, its reads", min(more, 1),
			kerneltest.Exactly[uint64](1).Beside(uint64(hidden.Events(1, 1, false)), 0, hidden.String()))
	}
}

// TestInfoOfEveryDevice compares the disks that the collector names with those
// that the kernel lists, but for partitions.
func TestInfoOfEveryDevice(t *testing.T) {
	d, _ := loop(t, 1<<20)
	e := kerneltest.Run(t, diskio.Spec())
	listed := func() (names []string) {
		for line := range strings.Lines(read(t, "/proc/partitions")) {
			f := strings.Fields(line)
			if len(f) < 4 {
				continue
			}
			if _, err := os.Stat(disk{strings.ReplaceAll(f[3], "/", "!")}.sysfs("")); err == nil {
				names = append(names, f[3])
			}
		}
		slices.Sort(names)
		return names
	}
	kerneltest.Conclusive(t, 6, func(t *kerneltest.Attempt) {
		before := listed()
		numbers := kerneltest.Read(t, e)
		if !slices.Equal(before, listed()) {
			t.Void("others attach or detach disks")
		}
		var named []string
		for key, sample := range numbers {
			if strings.HasPrefix(key, "ebpf_disk_info{") {
				named = append(named, sample.Labels[0])
			}
		}
		slices.Sort(named)
		equal(t, "names of disks", fmt.Sprint(named), fmt.Sprint(before))
		kerneltest.Accuracy(t, kerneltest.Row{
			Metric: "ebpf_disk_info", Workload: "the machine's disks: how many have a name", Source: "/proc/partitions",
		}, uint64(len(named)), kerneltest.Exactly(uint64(len(before))))
		equal(t, "info of "+d.name, numbers.Value("ebpf_disk_info", "device="+d.name, "name="+d.name), 1)
	})
}
