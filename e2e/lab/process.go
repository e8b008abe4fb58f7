package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopGrace is how long Process.Close waits between SIGTERM and SIGKILL: longer
// than a gateway with nothing to do needs to take its guard down.
const stopGrace = 5 * time.Second

// Process is a program that runs on a host.
type Process struct {
	host   *Host
	cmd    *exec.Cmd
	output tape[byte]
	done   chan struct{}
	err    error // of cmd.Wait; valid when done is closed
}

// Start starts cmd in the host's network namespace. It keeps what the program
// writes to both outputs for Output and WaitOutput, which stand in for
// cmd.StdoutPipe, and copies it to cmd.Stdout and cmd.Stderr where they are set.
// The program gets a process group of its own; what is left of the group when
// the program ends is killed, and so is the program when this process dies. The
// program sees the /sys of the machine, not of the host.
func (h *Host) Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{host: h, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.tee(cmd.Stdout), p.tee(cmd.Stderr)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = stopGrace // for a daemon that left the group with our pipes
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("lab: start %s on %s: %w", cmd.Path, h.Name, err)
	}
	if err := h.lab.own(p); err != nil {
		return nil, err
	}
	select {
	case <-p.done: // maybe too early for run to disown it
		h.lab.disown(p)
	default:
	}
	return p, nil
}

// run forks and waits in one locked thread, because Pdeathsig means the death of
// the thread that forked (prctl(2)).
func (p *Process) run(started chan<- error) {
	err := p.host.inside(func() error {
		if err := p.cmd.Start(); err != nil {
			return err
		}
		started <- nil
		endGroup(p.cmd.Process.Pid)
		p.err = p.cmd.Wait()
		return nil
	})
	p.output.end()
	close(p.done)
	if err != nil {
		started <- err
		return
	}
	p.host.lab.disown(p)
}

// endGroup waits until the leader of a process group has ended and kills what is
// left of the group. It leaves the leader unreaped, so that the group's number
// can't have become another's.
func endGroup(leader int) {
	for unix.Waitid(unix.P_PID, leader, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	unix.Kill(-leader, unix.SIGKILL)
}

// tee writes to the process's tape, and to w if there is one.
func (p *Process) tee(w io.Writer) io.Writer {
	if w == nil {
		return (*recorder)(p)
	}
	return io.MultiWriter((*recorder)(p), w)
}

// recorder is the Process as the writer of its own output.
type recorder Process

func (r *recorder) Write(b []byte) (int, error) {
	r.output.record(b...)
	return len(b), nil
}

// Run runs a program on the host to its end, or ctx's, and returns what it wrote
// to both outputs. The error of a program that fails quotes that.
func (h *Host) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	p, err := h.Start(exec.CommandContext(ctx, name, args...))
	if err != nil {
		return nil, err
	}
	err = p.Wait()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(p.Output()))
	}
	return p.Output(), err
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Output returns what the program has written so far, both outputs as they came.
// Read only.
func (p *Process) Output() []byte { return p.output.all() }

// WaitOutput waits until the program has written text.
func (p *Process) WaitOutput(ctx context.Context, text string) error {
	for seen := 0; ; {
		output, err := p.output.beyond(ctx, seen)
		if bytes.Contains(output, []byte(text)) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lab: wait for %q from %s on %s: %w; it wrote: %s",
				text, p.cmd.Path, p.host.Name, err, bytes.TrimSpace(output))
		}
		seen = len(output)
	}
}

// Signal sends a signal; os.ErrProcessDone if the program has ended.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Done is closed when the program has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the program's end. The error says how it failed, if it did; an
// *exec.ExitError is in it when it was the program that failed.
func (p *Process) Wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("lab: run %s on %s: %w", p.cmd.Path, p.host.Name, p.err)
	}
	return nil
}

// Close ends the program with SIGTERM, after 5 seconds with SIGKILL, and waits
// for it. How it exits is no error here.
func (p *Process) Close() error {
	if err := p.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: end %s on %s: %w", p.cmd.Path, p.host.Name, err)
	}
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		p.Signal(unix.SIGKILL)
		<-p.done
	}
	return nil
}
