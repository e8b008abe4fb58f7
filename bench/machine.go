package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

// stateDir holds what a run needs on disk. One run has it at a time, by a lock.
const stateDir = "/run/tidegate-bench"

// tableSize is how many flows connection tracking takes while a run lasts, and how
// many Tidegate takes where many are asked for. The hash table gets as many
// buckets, the kernel's own ratio.
const tableSize = 2 << 20

const (
	conntrackMax     = "/proc/sys/net/netfilter/nf_conntrack_max"
	conntrackBuckets = "/proc/sys/net/netfilter/nf_conntrack_buckets"
)

// prepareMachine takes away what a killed run left and makes room for flows. The
// settings are the machine's: a namespace has none of its own. restore puts them
// back.
func prepareMachine() (restore func() error, err error) {
	lock, err := lockState()
	if err != nil {
		return nil, err
	}
	if _, err := lab.Sweep(labName); err != nil {
		return nil, err
	}
	before, err := conntrackBefore()
	if err != nil {
		return nil, err
	}
	restore = func() error {
		defer lock.Close()
		if err := set(before); err != nil {
			return err
		}
		return os.RemoveAll(stateDir)
	}
	size := strconv.Itoa(tableSize)
	if err := set(map[string]string{conntrackMax: size, conntrackBuckets: size}); err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}

// lockState makes the directory this run's own and empties it, but for the
// settings that a killed run noted.
func lockState() (*os.File, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("bench: make directory: %w", err)
	}
	lock, err := os.Open(stateDir)
	if err != nil {
		return nil, fmt.Errorf("bench: open directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("bench: lock %s: %w; another run is under way, wait for its end", stateDir, err)
	}
	left, _ := filepath.Glob(filepath.Join(stateDir, "row-*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("bench: sweep %s: %w", dir, err)
		}
	}
	return lock, nil
}

// conntrackBefore returns the machine's settings as they were before this run, or
// before the killed one that left them noted.
func conntrackBefore() (map[string]string, error) {
	note := filepath.Join(stateDir, "conntrack.json")
	if b, err := os.ReadFile(note); err == nil {
		before := make(map[string]string)
		return before, json.Unmarshal(b, &before)
	}
	if _, err := os.Stat(conntrackMax); errors.Is(err, fs.ErrNotExist) {
		exec.Command("modprobe", "nf_conntrack").Run() // reading tells if that did not help
	}
	before := make(map[string]string)
	for _, path := range []string{conntrackMax, conntrackBuckets} {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("bench: read setting: %w; load nf_conntrack", err)
		}
		before[path] = strings.TrimSpace(string(b))
	}
	b, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	return before, os.WriteFile(note, b, 0o600)
}

func set(values map[string]string) error {
	var errs []error
	for path, value := range values {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			errs = append(errs, fmt.Errorf("bench: set %s to %s: %w; run outside of containers", path, value, err))
		}
	}
	return errors.Join(errs...)
}
