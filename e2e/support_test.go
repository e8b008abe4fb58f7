package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const (
	sigint  = syscall.SIGINT
	sigterm = syscall.SIGTERM
)

// must ends the test if there is an error: must(f())(t).
func must[V any](v V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(r.Context(), d)
	r.Cleanup(cancel)
	return ctx
}

// eventually waits until ok, which says what is waited for.
func (r *rig) eventually(d time.Duration, what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not within %v: %s", d, what)
		}
	}
}

// shell runs a script on a host, and returns what it wrote.
func (r *rig) shell(h *lab.Host, script string) string {
	r.Helper()
	return string(must(h.Run(r.within(20*time.Second), "sh", "-ec", script))(r))
}

// outcome is how a program ended.
type outcome struct {
	status         int
	stdout, stderr string
}

// lines of what it complained about.
func (o outcome) lines() []string { return strings.Split(strings.TrimRight(o.stderr, "\n"), "\n") }

// run runs a program on a host to its end.
func (r *rig) run(h *lab.Host, cmd *exec.Cmd) outcome {
	r.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	p := must(h.Start(cmd))(r)
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		r.Errorf("%v still runs", cmd.Args)
		r.check(p.Close())
	}
	var failed *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &failed) {
		r.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// cli runs a verb that asks the gateway. Its API is a file: no namespace matters.
func (r *rig) cli(args ...string) outcome {
	r.Helper()
	return r.run(r.Hosts[2], exec.Command(program, append([]string{"--api", r.api()}, args...)...))
}

// keepEvidence writes down what happened: with -artifacts to where Go keeps those.
func (r *rig) keepEvidence() {
	dir := must(os.MkdirTemp("", "tidegate-e2e-failed-"))(r)
	if f := flag.Lookup("test.artifacts"); f != nil && f.Value.String() == "true" {
		os.Remove(dir)
		dir = r.ArtifactDir()
	}
	r.Logf("evidence is in %s", dir)
	if r.tidegate != nil {
		r.check(os.WriteFile(filepath.Join(dir, "tidegate.log"), r.tidegate.Output(), 0o644))
		r.Logf("the gateway said:\n%s", r.tidegate.Output())
	}
	for name, c := range map[string]*lab.Capture{"inside.pcap": r.inside, "outside.pcap": r.outside} {
		if c != nil {
			var b bytes.Buffer
			r.check(c.WritePcap(&b))
			r.check(os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644))
		}
	}
}
