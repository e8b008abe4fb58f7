package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of /proc/stat: USER_HZ is 100 on all of Linux's architectures
// but Alpha.
const tick = 10 * time.Millisecond

// busyTime returns how long the CPUs of the machine have worked since its start,
// added up: user, nice, system, irq and softirq of proc_stat(5). Not iowait, and
// not steal, which is another machine's work. It goes in steps of tick for each
// CPU: half a percent of two seconds.
func busyTime() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("bench: read CPU time: %w", err)
	}
	return parseBusy(string(b))
}

func parseBusy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("bench: read CPU time: %q is not the first line of /proc/stat", line)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} { // 4 is idle, 5 iowait
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("bench: read CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

const (
	quietSpan  = 100 * time.Millisecond
	quietTries = 10
	quietBusy  = quietSpan / 10 // of all CPUs together; this program itself takes about nothing
)

// waitQuiet waits for a moment in which nobody uses the machine, so that what the
// kernel still clears up after the leg before does not count in the next; it says
// whether there was one within a second.
func waitQuiet(ctx context.Context) bool {
	for range quietTries {
		before, err := busyTime()
		if err != nil || sleep(ctx, quietSpan) != nil {
			return false
		}
		if after, err := busyTime(); err == nil && after-before <= quietBusy {
			return true
		}
	}
	return false
}

// sleep is time.Sleep that the end of ctx ends early, with its error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pin keeps the calling goroutine, and a thread with it, on one CPU for good.
func pin(cpu int) error {
	runtime.LockOSThread()
	var only unix.CPUSet
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("bench: pin to CPU %d: %w", cpu, err)
	}
	return nil
}

// kernelName is what uname -sr prints.
func kernelName() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown kernel"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// cpuName is the first CPU's model, as far as the architecture tells.
func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// availableMemory returns how many bytes the machine could still give away.
func availableMemory() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("bench: read memory: %w", err)
	}
	return kilobytes(string(b), "MemAvailable")
}

var errNoLine = errors.New("no such line")

// kilobytes finds "name:  123 kB" in a file of that form, and returns bytes.
func kilobytes(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == name+":" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("bench: read memory: %s: %w", name, errNoLine)
}
