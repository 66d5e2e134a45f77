// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exporter is what the built program costs on this machine, with all collectors.
type Exporter struct {
	// Starts are the times from the start of the process to the end of the first scrape, in ns.
	// StartCPU is the CPU time that the process used by then.
	Starts, StartCPU []float64
	// Scrapes are the later scrapes over HTTP.
	Scrapes []ScrapeTimes
	// ScrapeCPU is the CPU time of one of these scrapes in ns, as the mean of all formats.
	ScrapeCPU float64
	// Resident is the resident memory after the last scrape, in bytes. Anonymous is the part that
	// no file backs, and File the part that are pages of files. Peak is the highest value of
	// Resident.
	Resident, Anonymous, File, Peak float64
	// Binary is the size of the program file.
	Binary int64
}

// ScrapeTimes are the size and the times of scrapes in one format.
type ScrapeTimes struct {
	Format string
	Bytes  int
	Times  []float64 // ns
}

// formats are the formats that scrapers ask for. Any scraper asks for the first; Prometheus asks
// for the second if it wants native histograms.
var formats = []struct{ name, accept, encoding string }{
	{"text", "text/plain;version=0.0.4", "identity"},
	{"protobuf, gzip", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "gzip"},
}

// measureExporter builds the program, starts it several times, and scrapes the last process.
func measureExporter(ctx context.Context, effort Effort) (*Exporter, error) {
	dir, err := os.MkdirTemp("", "kernscope-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "kernscope")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/kernscope")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the exporter: %w\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		return nil, err
	}
	x := &Exporter{Binary: info.Size()}
	for range effort.Starts - 1 {
		if err := x.live(ctx, program, 0); err != nil {
			return nil, err
		}
	}
	return x, x.live(ctx, program, effort.Scrapes)
}

// live runs the exporter once: it starts it, scrapes it once and then scrapes times more, and ends
// it.
func (x *Exporter) live(ctx context.Context, program string, scrapes int) (err error) {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	var log bytes.Buffer
	begin := time.Now()
	cmd := exec.CommandContext(ctx, program, "serve", "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the exporter: %w", err)
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
		if err != nil {
			err = fmt.Errorf("%w; its log:\n%s", err, log.String())
		}
	}()
	url := "http://" + address + "/metrics"
	for {
		if _, err = get(url, formats[0].accept, formats[0].encoding); err == nil {
			break
		}
		if time.Since(begin) > 30*time.Second {
			return fmt.Errorf("no scrape succeeded for 30 seconds: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	x.Starts = append(x.Starts, float64(time.Since(begin)))
	cpu, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return err
	}
	x.StartCPU = append(x.StartCPU, cpu)
	if scrapes == 0 {
		return nil
	}
	x.Scrapes = make([]ScrapeTimes, len(formats))
	for range scrapes {
		for i, f := range formats {
			begin := time.Now()
			n, err := get(url, f.accept, f.encoding)
			if err != nil {
				return err
			}
			s := &x.Scrapes[i]
			s.Format, s.Bytes = f.name, n
			s.Times = append(s.Times, float64(time.Since(begin)))
		}
	}
	used, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		return err
	}
	x.ScrapeCPU = (used - cpu) / float64(scrapes*len(formats))
	return x.readMemory(cmd.Process.Pid)
}

// get fetches a page and returns its size.
func get(url, accept, encoding string) (int, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return int(n), err
}

// freeAddress returns a loopback address whose port is free at the moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// cpuTime returns the CPU time that all threads of a process have used, in ns.
func cpuTime(pid int) (float64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var total float64
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			return 0, err
		}
		used, _, _ := strings.Cut(string(stat), " ")
		ns, err := strconv.ParseFloat(used, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", thread, err)
		}
		total += ns
	}
	return total, nil
}

// readMemory reads the memory of a process from /proc/PID/status.
func (x *Exporter) readMemory(pid int) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	for name, to := range map[string]*float64{"VmRSS": &x.Resident, "RssAnon": &x.Anonymous, "RssFile": &x.File, "VmHWM": &x.Peak} {
		_, rest, found := strings.Cut(string(status), "\n"+name+":")
		fields := strings.Fields(rest)
		if !found || len(fields) == 0 {
			return fmt.Errorf("/proc/%d/status has no %s", pid, name)
		}
		kib, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		*to = kib * 1024
	}
	return nil
}
