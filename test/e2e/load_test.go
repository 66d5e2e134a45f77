// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// write keeps a disk busy until the test ends.
func write(t *testing.T) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "load"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		block := make([]byte, 4096)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := file.WriteAt(block, 0); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { close(stop); <-done; file.Close() })
}

// fio is a process that reads a disk until it is ended.
type fio struct {
	cmd         *exec.Cmd
	out, errors bytes.Buffer
	ended       bool
}

// fioReads is fio's own report of what it did.
type fioReads struct {
	IOs        int `json:"total_ios"`
	Completion struct {
		Max        float64 // in ns
		Percentile map[string]float64
	} `json:"clat_ns"`
}

// quantile returns a quantile that fio reports, in seconds.
func (r fioReads) quantile(q float64) float64 {
	if ns, ok := r.Completion.Percentile[strconv.FormatFloat(100*q, 'f', 6, 64)]; ok {
		return ns / 1e9
	}
	return math.NaN()
}

// startFio reads the slow part of a disk, one block after the other.
func startFio(t *testing.T, d *slowDisk) *fio {
	t.Helper()
	f := &fio{cmd: exec.Command("fio", "--name=load", "--filename=/dev/"+d.name, "--rw=randread", "--bs=4k", "--direct=1",
		fmt.Sprintf("--offset=%d", slowBegin), fmt.Sprintf("--size=%d", slowEnd-slowBegin), "--ioengine=psync", "--time_based", "--runtime=1h", "--output-format=json", "--eta=never")}
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.errors
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.stop)
	return f
}

// stop interrupts fio and waits for the read that is under way.
func (f *fio) stop() {
	if !f.ended {
		f.ended = true
		_ = f.cmd.Process.Signal(syscall.SIGINT)
		_ = f.cmd.Wait() // fio exits with 128 if it is interrupted
	}
}

// end ends the load and returns fio's report.
func (f *fio) end(t *testing.T) fioReads {
	t.Helper()
	f.stop()
	var result struct {
		Jobs []struct {
			Error int
			Read  fioReads
		}
	}
	// fio may print notes before its report.
	text := f.out.Bytes()
	if err := json.Unmarshal(text[max(0, bytes.IndexByte(text, '{')):], &result); err != nil || len(result.Jobs) != 1 {
		t.Fatalf("parsing fio's output: %v\n%s%s", err, text, &f.errors)
	}
	if job := result.Jobs[0]; job.Error != 0 {
		t.Fatalf("fio failed with error %d: %s", job.Error, &f.errors)
	}
	return result.Jobs[0].Read
}
