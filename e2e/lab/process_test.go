package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

func start(t *testing.T, h *lab.Host, name string, args ...string) *lab.Process {
	t.Helper()
	p, err := h.Start(exec.Command(name, args...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantDead waits a moment for a process to be gone, or a zombie of init's.
func wantDead(t *testing.T, pid int) {
	t.Helper()
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d still runs", pid)
}

func namespaceOf(t *testing.T, thread string) string {
	link, err := os.Readlink("/proc/" + thread + "/ns/net")
	if err != nil {
		t.Error(err)
	}
	return link
}

func TestDoEntersAndLeaves(t *testing.T) {
	l := newLab(t, lab.Options{})
	home := namespaceOf(t, "self")
	var wg sync.WaitGroup
	for i := range 60 {
		h := l.Hosts[i%3]
		wg.Go(func() {
			want, err := h.Run(t.Context(), "readlink", "/proc/self/ns/net")
			if err != nil {
				t.Error(err)
			}
			err = h.Do(func() error {
				if unix.Gettid() == unix.Getpid() {
					t.Error("Do took the main thread")
				}
				runtime.Gosched()
				if got := namespaceOf(t, "thread-self"); got != strings.TrimSpace(string(want)) || got == home {
					t.Errorf("%s: in %s, want %s", h.Name, got, want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if got := namespaceOf(t, "thread-self"); got != home {
				t.Errorf("after Do in %s, want %s", got, home)
			}
		})
	}
	wg.Wait()
	for _, thread := range threads(t) {
		if got := namespaceOf(t, thread); got != home {
			t.Errorf("thread %s stayed in %s", thread, got)
		}
	}
}

func threads(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, "self/task/"+e.Name())
	}
	return names
}

func TestDoReturnsErrors(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1})
	cause := errors.New("cause")
	if err := l.Router.Do(func() error { return cause }); err != cause {
		t.Errorf("Do returned %v", err)
	}
	if err := l.Router.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Do hid that its function did not return")
	}
}

func TestRun(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1})
	output, err := l.Hosts[0].Run(t.Context(), "sh", "-c", "echo out; echo err >&2; cat /proc/net/dev | grep -c eth0")
	if err != nil || string(output) != "out\nerr\n1\n" {
		t.Errorf("Run: %q, %v", output, err)
	}
	_, err = l.Hosts[0].Run(t.Context(), "sh", "-c", "echo the reason; exit 3")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("failing Run: %v", err)
	}
	if _, err := l.Hosts[0].Run(t.Context(), "/no/such/program"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Hosts[0].Run(ctx, "sleep", "1000"); err == nil {
		t.Error("Run outlived its context")
	}
}

func TestProcessOutput(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1})
	cmd := exec.Command("sh", "-c", "echo one; echo apart >&2; read line; echo $line")
	var apart bytes.Buffer
	cmd.Stderr = &apart
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Hosts[0].Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitOutput(within(t, 5*time.Second), "one"); err != nil {
		t.Error(err)
	}
	if err := p.WaitOutput(within(t, 50*time.Millisecond), "two"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for what does not come: %v", err)
	}
	fmt.Fprintln(stdin, "two")
	if err := p.WaitOutput(within(t, 5*time.Second), "two"); err != nil {
		t.Error(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if apart.String() != "apart\n" {
		t.Errorf("stderr copy: %q", apart.String())
	}
	if err := p.WaitOutput(t.Context(), "three"); err == nil {
		t.Error("waited for output of an ended process")
	}
}

// A program's children go with it, those that would not go too.
func TestProcessEndsWithItsGroup(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 1})
	for _, script := range []string{
		"(trap '' TERM; sleep 1000) & echo child $!; wait",
		"(trap '' TERM; sleep 1000) & echo child $!; exit 0",
	} {
		p := start(t, l.Hosts[0], "sh", "-c", script)
		if err := p.WaitOutput(within(t, 5*time.Second), "\n"); err != nil {
			t.Fatal(err)
		}
		child, err := strconv.Atoi(strings.Fields(string(p.Output()))[1])
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		wantDead(t, p.Pid())
		wantDead(t, child)
	}
}

// A program that ignores SIGTERM is killed.
func TestProcessCloseKills(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 1})
	p := start(t, l.Hosts[0], "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
	if err := p.WaitOutput(within(t, 5*time.Second), "ready"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	wantDead(t, p.Pid())
	if err := p.Signal(unix.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to an ended process: %v", err)
	}
}

// victimEnv makes the test binary a run that is killed in the middle.
const victimEnv = "TIDEGATE_LAB_TEST_VICTIM"

// beVictim builds a lab with a process in it, says so, and waits for its end.
func beVictim() {
	l, err := lab.New(lab.Options{Name: testName, Hosts: 1})
	if err != nil {
		panic(err)
	}
	p, err := l.Hosts[0].Start(exec.Command("sleep", "1000"))
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Prefix(), p.Pid())
	select {}
}

func TestSweepAfterKill(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1}) // lives, so Sweep must leave it alone
	victim := exec.Command("/proc/self/exe")
	victim.Env = append(os.Environ(), victimEnv+"=1")
	stdout, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var prefix string
	var child int
	if _, err := fmt.Fscanln(bufio.NewReader(stdout), &prefix, &child); err != nil {
		t.Error(err)
	}
	wantSwept(t, 0)
	victim.Process.Kill()
	victim.Wait()
	wantDead(t, child)
	wantSwept(t, 6)
	wantNoNamespaces(t, prefix)
	if left, err := lab.Leftovers(l.Prefix()); len(left) != 6 {
		t.Errorf("of a lab that lives, left: %v, %v", left, err)
	}
}

// A run with our own process number left a namespace when its container stopped.
func TestSweepKnowsOwnLabs(t *testing.T) {
	stale := fmt.Sprintf("/run/netns/%s-%d-999999-s1", testName, os.Getpid())
	if err := os.WriteFile(stale, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(stale) })
	wantSwept(t, 1)
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// wantSwept sweeps and expects n namespaces, at least: another killed run of
// these tests may have left some.
func wantSwept(t *testing.T, n int) {
	t.Helper()
	swept, err := lab.Sweep(testName)
	if err != nil || len(swept) < n {
		t.Errorf("swept %v, %v; want %d", swept, err, n)
	}
}
