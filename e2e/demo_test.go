package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// demonstration is a running `tidegate demo`, which makes a lab of its own.
type demonstration struct {
	*testing.T
	cmd  *exec.Cmd
	temp string

	mu     sync.Mutex
	output bytes.Buffer
}

func (d *demonstration) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.Write(b)
}

func (d *demonstration) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.String()
}

func startDemo(t *testing.T, datapath string) *demonstration {
	t.Helper()
	d := &demonstration{T: t, temp: must(os.MkdirTemp(scratch, "demo-"))(t)}
	d.cmd = exec.Command(program, "demo", "--datapath", datapath)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.temp)
	d.cmd.Stdout, d.cmd.Stderr = d, d
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// wantNothingLeft looks for its namespaces, files and processes.
func (d *demonstration) wantNothingLeft() {
	d.Helper()
	prefix := fmt.Sprintf("demo-%d-", d.cmd.Process.Pid)
	if names := must(lab.Leftovers(prefix))(d); len(names) > 0 {
		d.Errorf("namespaces left behind: %v", names)
	}
	if files := must(filepath.Glob(d.temp + "/*"))(d); len(files) > 0 {
		d.Errorf("files left behind: %v", files)
	}
	if pids := processesOf(d.temp); len(pids) > 0 {
		d.Errorf("processes left behind: %v", pids)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	for _, datapath := range []string{"auto", "packet", "tun"} {
		t.Run(datapath, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, datapath)
			if err := d.cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, d)
			}
			_, summary, _ := strings.Cut(d.String(), "== In short")
			for _, line := range []string{"HTTP ", "UDP ", "ping ", "inbound ", "no pool ", "reset ", "captured ", "keepalive "} {
				if !strings.Contains(summary, "\n   "+line) {
					t.Errorf("the summary has no line %q:\n%s", line, summary)
				}
			}
			if n := strings.Count(summary, "RST seq"); n != 2 {
				t.Errorf("the summary shows %d RSTs, want 2:\n%s", n, summary)
			}
			d.wantNothingLeft()
		})
	}
}

// Whoever interrupts it, at any time, gets the machine back as it was.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"Building a network", "The gateway runs on", "h3, which is in no pool", "falls silent"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, "auto")
			for deadline := time.Now().Add(10 * time.Second); !strings.Contains(d.String(), moment) && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			began := time.Now()
			if err := d.cmd.Process.Signal(sigint); err != nil {
				t.Error(err)
			}
			if err := d.cmd.Wait(); err == nil {
				t.Error("exit status 0, though it did not show everything")
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %v to end\n%s", took, d)
			}
			d.wantNothingLeft()
		})
	}
}
