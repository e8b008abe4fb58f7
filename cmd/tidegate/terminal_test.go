package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tidegate/api"
)

// asProgram makes this test binary the program itself.
const asProgram = "TIDEGATE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the program with these arguments, in an environment without the user's
// wishes about colours.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm", "NO_COLOR=")
	return cmd
}

// seen is what a terminal shows of a program, and its keyboard.
type seen struct {
	*testing.T
	*os.File // the terminal's other end
	cmd      *exec.Cmd
	before   unix.Termios // as it was before the program
	mu       sync.Mutex
	text     bytes.Buffer
	drained  chan struct{}
}

// onTerminal starts the program on a terminal of its own, of that size.
func onTerminal(t *testing.T, width, height uint16, cmd *exec.Cmd) *seen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	s := &seen{T: t, File: master, cmd: cmd, drained: make(chan struct{})}
	s.resize(width, height)
	s.before = s.settings()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go s.drain()
	return s
}

func (s *seen) resize(width, height uint16) {
	s.Helper()
	if err := unix.IoctlSetWinsize(int(s.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		s.Fatal(err)
	}
}

// settings are the terminal's: echo, lines, signals of keys.
func (s *seen) settings() unix.Termios {
	s.Helper()
	settings, err := unix.IoctlGetTermios(int(s.Fd()), unix.TCGETS)
	if err != nil {
		s.Fatal(err)
	}
	return *settings
}

func (s *seen) drain() {
	defer close(s.drained)
	buf := make([]byte, 4096)
	for {
		n, err := s.Read(buf)
		s.mu.Lock()
		s.text.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return // EIO: the program has ended
		}
	}
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the terminal has shown it since the last await.
func (s *seen) await(want string) {
	s.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		_, after, ok := strings.Cut(s.text.String(), want)
		if ok {
			s.text.Reset()
			s.text.WriteString(after)
		}
		s.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			shown := s.String()
			s.Fatalf("the terminal does not show %q:\n%q", want, shown[max(0, len(shown)-4000):])
		}
	}
}

func (s *seen) press(keys string) {
	s.Helper()
	if _, err := io.WriteString(s, keys); err != nil {
		s.Fatal(err)
	}
}

// givenBack waits for the end of a program that had the whole screen, and checks that the
// terminal is as it was.
func (s *seen) givenBack() {
	s.Helper()
	s.await(ansi.ResetModeAltScreenSaveCursor)
	s.await(ansi.ShowCursor)
	if status := s.end(); status != exitFine {
		s.Errorf("status %d: %q", status, s)
	}
	if diff := cmp.Diff(s.before, s.settings()); diff != "" {
		s.Errorf("the terminal's settings: %s", diff)
	}
}

// end waits for the program's end and returns its exit status.
func (s *seen) end() int {
	s.Helper()
	_ = s.cmd.Wait() // the status says it all
	<-s.drained
	return s.cmd.ProcessState.ExitCode()
}

// busyGateway has all that top asks for.
func busyGateway(t *testing.T) *answers {
	a, g := newAnswers(t, false), glanceAt(1)
	a.set("/v1/status", g.status)
	a.set("/v1/ports", api.Ports{Rows: g.ports})
	a.set("/v1/backends", api.Backends{Rows: g.backends})
	a.set("/v1/events", api.EventList{Events: g.events})
	a.set("/v1/flows", g.flows)
	return a
}

func TestTopOnATerminal(t *testing.T) {
	a := busyGateway(t)
	s := onTerminal(t, 80, 24, program("top", "--api", a.URL))
	s.await(ansi.SetModeAltScreenSaveCursor)
	s.await("41 of 1000")
	s.press("2")
	s.await("these by packets")
	s.resize(130, 30)
	s.await("203.0.113.5:1024")
	s.press("\x1b[B\x1b[Bk")
	s.await("End tcp 10.0.0.10:40002")
	s.press("n")
	s.await("left alone")
	a.Close()
	s.await("away; trying again")
	s.await("is tidegate running?")
	s.press("q")
	s.givenBack()
}

func TestTopGivesTheTerminalBack(t *testing.T) {
	for name, stop := range map[string]func(*seen) error{
		"q": func(s *seen) error { s.press("q"); return nil }, "Ctrl-C": func(s *seen) error { s.press("\x03"); return nil },
		"SIGTERM": func(s *seen) error { return s.cmd.Process.Signal(syscall.SIGTERM) }, "SIGHUP": func(s *seen) error { return s.cmd.Process.Signal(syscall.SIGHUP) },
	} {
		t.Run(name, func(t *testing.T) {
			s := onTerminal(t, 80, 24, program("top", "--api", "http://127.0.0.1:1"))
			s.await("away; trying again")
			if err := stop(s); err != nil {
				t.Fatal(err)
			}
			s.givenBack()
		})
	}
}

func TestTopOnATerminalWithoutSizeOrColours(t *testing.T) {
	cmd := program("top", "--api", busyGateway(t).URL)
	cmd.Env = append(cmd.Env, "NO_COLOR=1")
	s := onTerminal(t, 0, 0, cmd)
	s.await(ansi.SetModeAltScreenSaveCursor)
	s.press("2")
	s.await("these by packets")
	s.press("/")
	s.await("Esc: leave") // the last line of 24
	if text := s.String(); strings.Contains(text, "\x1b[1m") || strings.Contains(text, "\x1b[3") {
		t.Errorf("there are colours: %q", text)
	}
	s.press("\x03")
	s.givenBack()
}

// No verb asks the terminal anything, and colours are only where they are wanted.
func TestVerbsOnATerminal(t *testing.T) {
	a := busyGateway(t)
	for _, test := range []struct {
		env     string
		colours bool
	}{{"TERM=xterm", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}} {
		cmd := program("flows", "--limit", "3", "--api", a.URL)
		cmd.Env = append(cmd.Env, test.env)
		s := onTerminal(t, 80, 24, cmd)
		if status := s.end(); status != 0 {
			t.Fatalf("status %d: %q", status, s)
		}
		text := strings.ReplaceAll(s.String(), "\r\n", "\n")
		if strings.Contains(text, "\x1b") != test.colours {
			t.Errorf("%s: %q", test.env, text)
		}
		harmless(t, text)
		for _, l := range strings.Split(text, "\n") {
			if ansi.StringWidth(l) > 80 {
				t.Errorf("%q is wider than the terminal", l)
			}
		}
	}
}

func TestWatchOnATerminal(t *testing.T) {
	a := busyGateway(t)
	s := onTerminal(t, 80, 10, program("flows", "--watch", "--api", a.URL))
	s.await(ansi.EraseEntireScreen + ansi.CursorHomePosition)
	s.await("40 of 1000") // the gateway here does not keep to the limit
	s.await(ansi.EraseScreenBelow + ansi.CursorHomePosition)
	if got := a.questions()[0].URL.Query().Get("limit"); got != "6" {
		t.Errorf("on 10 rows it asks for %s flows", got)
	}
	s.press("\x03")
	if status := s.end(); status != exitFine {
		t.Errorf("status %d after Ctrl-C: %q", status, s)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	release := make(chan struct{})
	a := newAnswers(t, false)
	a.set("/v1/backends", slow(release))
	s := onTerminal(t, 80, 24, program("backends", "--api", a.URL))
	s.await("waiting for the gateway's answer … 2 s")
	close(release)
	s.await(wipe)
	if status := s.end(); status != exitFine {
		t.Errorf("status %d", status)
	}
}

// slow is an answer that is a long time in coming.
type slow chan struct{}

// MarshalJSON implements json.Marshaler.
func (s slow) MarshalJSON() ([]byte, error) {
	<-s
	return []byte(`{"backends":[]}`), nil
}

// Whoever reads may go: that is no failure, and there is nothing to say about it.
func TestPipeBroken(t *testing.T) {
	a := busyGateway(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var problems bytes.Buffer
	for _, args := range [][]string{{"flows"}, {"status", "-o", "json"}, {"completion", "bash"}, {"flows", "--watch"}, {"events", "--follow"}} {
		cmd := program(append(args, "--api", a.URL)...)
		cmd.Stdout, cmd.Stderr = w, &problems
		if err := cmd.Run(); err != nil || problems.Len() > 0 {
			t.Errorf("%v: %v %s", args, err, problems.String())
		}
	}
}
