// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLoopDevicesAreOnesOwn checks that each of several who look for a free
// loop device at the same time gets one of their own, which goes when it is
// closed.
func TestLoopDevicesAreOnesOwn(t *testing.T) {
	const askers, each = 4, 8
	var mu sync.Mutex
	held := make(map[string]*os.File)
	var group sync.WaitGroup
	for range askers {
		group.Go(func() {
			for range each {
				backing, err := MemoryFile(1 << 20)
				if err != nil {
					t.Error(err)
					return
				}
				device, err := AttachLoop(backing.Fd(), 4096, unix.O_DIRECT)
				backing.Close()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if held[device.Name()] != nil {
					t.Errorf("%s is given away twice", device.Name())
				}
				held[device.Name()] = device
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for name, device := range held {
		device.Close()
		Until(t, name+" is free", func() error {
			_, err := os.Stat(strings.Replace(name, "/dev/", "/sys/block/", 1) + "/loop/backing_file")
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return errors.New("it has a file")
		})
	}
	if len(held) != askers*each {
		t.Errorf("%d devices, want %d", len(held), askers*each)
	}
}

// TestFileSystem checks that a new file system takes a file.
func TestFileSystem(t *testing.T) {
	dir := FileSystem(t, 16<<20, "mkfs.ext4", "-q")
	var at unix.Statfs_t
	if err := errors.Join(os.WriteFile(dir+"/file", nil, 0o600), unix.Statfs(dir, &at)); err != nil || at.Type != unix.EXT4_SUPER_MAGIC {
		t.Errorf("type %#x: %v", at.Type, err)
	}
}

// TestNetwork checks that a network has counters and settings of its own, and
// nothing but loopback.
func TestNetwork(t *testing.T) {
	n, err := NewNetwork()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := errors.Join(n.Run("ip link set lo up"), n.Set("ipv4/ip_nonlocal_bind", "1")); err != nil {
		t.Error(err)
	}
	if err := n.Set("ipv4/no_such_thing", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a setting that does not exist: %v", err)
	}
	if err := n.Run("ip link show no-such-device"); err == nil {
		t.Error("a command that fails does not")
	}
	if again, err := n.Counter("snmp", "Tcp", "RetransSegs"); again != 0 || err != nil {
		t.Errorf("%d segments sent again in a new network: %v", again, err)
	}
	if _, err := n.Counter("netstat", "TcpExt", "NoSuchThing"); err == nil {
		t.Error("a counter that does not exist has a value")
	}
}

// TestModule checks that a module comes and goes.
func TestModule(t *testing.T) {
	VM(t, "loads and unloads a module")
	const name = "dummy"
	there := func() bool {
		_, err := os.Stat("/sys/module/" + name)
		return err == nil
	}
	LoadModule(t, name, "numdummies=1")
	if !there() {
		t.Error("a loaded module is not there")
	}
	UnloadModule(t, name)
	if there() {
		t.Error("an unloaded module is there")
	}
}
