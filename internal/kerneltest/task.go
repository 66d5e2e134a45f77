// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"
	"testing"
)

// Turns are a task's turns on a CPU, by its schedstat file. Times are in ns.
type Turns struct {
	Ran, Waited uint64
	Stints      uint64
}

// ReadTurns returns what a schedstat file says.
func ReadTurns(file string) (Turns, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Turns{}, err
	}
	var turns Turns
	if _, err := fmt.Sscan(string(text), &turns.Ran, &turns.Waited, &turns.Stints); err != nil {
		return Turns{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return turns, nil
}

// Tasks returns the folders in /proc of all tasks, kernel threads included.
func Tasks(t testing.TB) (folders []string) {
	t.Helper()
	processes, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if p.Name()[0] < '0' || p.Name()[0] > '9' {
			continue
		}
		folder := "/proc/" + p.Name() + "/task/"
		threads, err := os.ReadDir(folder)
		if err != nil {
			continue // it has died
		}
		for _, thread := range threads {
			folders = append(folders, folder+thread.Name())
		}
	}
	return folders
}

// turnsOfAll returns the turns of all tasks that are alive, by their folders.
func turnsOfAll(t testing.TB) map[string]Turns {
	t.Helper()
	all := make(map[string]Turns)
	for _, folder := range Tasks(t) {
		if turns, err := ReadTurns(folder + "/schedstat"); err == nil {
			all[folder] = turns
		}
	}
	return all
}
