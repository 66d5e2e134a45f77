// SPDX-License-Identifier: Apache-2.0

// Command kernscope serves distributions and counts of what a Linux kernel
// does, measured by eBPF programs inside the kernel, to Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"

	"github.com/kernscope/kernscope/collector/builtin"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // it could not do what was asked
	exitUsage   = 2 // what was asked makes no sense
)

// errUsage marks errors of the command line.
var errUsage = errors.New("see kernscope --help")

// action is what a command does.
type action = func(context.Context, environment) error

// addCommand adds a command; it returns its full name and what it does.
type addCommand func(*kingpin.Application, *collectorFlags) (string, action)

func main() {
	frugal()
	// SIGINT and SIGTERM end the program in order; a second one at once, unless it
	// comes with the first: timeout(1) signals its child, and then its group.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(200*time.Millisecond, stop) })
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := kingpin.New("kernscope", "Kernel-grade observability for Prometheus: what disks, scheduler, memory, files, network and system calls do, counted exactly inside the kernel.")
	app.UsageWriter(stdout)
	app.Version(version.Print("kernscope"))
	app.VersionFlag.Short('v')
	app.HelpFlag.Short('h')
	// Kingpin ends the program after --help and --version; that is all it may do.
	var done *int
	app.Terminate(func(code int) { done = &code })

	collectors := addCollectorFlags(app, builtin.Collectors())
	logging := &promslog.Config{Writer: stderr}
	flag.AddFlags(app, logging)
	commands := map[string]func(context.Context) error{}
	adds := []addCommand{addServe, addTextfile, addList, addDoctor}
	for _, add := range append(adds, configCommands(app)...) {
		name, command := add(app, collectors)
		commands[name] = func(ctx context.Context) error {
			return command(ctx, environment{stdout: stdout, logger: promslog.New(logging)})
		}
	}

	// The beginning of a command would be taken for a collector of serve, and
	// the commands left out. Shells choose by the beginning themselves.
	if len(args) == 2 && args[0] == "--completion-bash" && !strings.HasPrefix(args[1], "-") {
		args = args[:1]
	}
	name, err := parse(app, collectors, args)
	if done != nil {
		return *done
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", err, errUsage)
	} else {
		err = commands[name](ctx)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "kernscope:", oneLine(err))
		return exitUsage
	}
	fmt.Fprintln(stderr, "kernscope:", oneLine(err))
	return exitFailure
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
