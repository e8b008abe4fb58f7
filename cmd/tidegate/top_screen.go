package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// message is what the model of a screen takes in: a key, a size, an answer.
type message any

// action is work that must not keep the screen waiting. It returns a message, which may
// be nil; the nil action is none.
type action func() message

// resized is the size of the terminal in columns and rows.
type resized struct{ width, height int }

// quit ends the screen.
type quit struct{}

func quitting() message { return quit{} }

// screen has the whole terminal. The well-known libraries for this ask the terminal for
// its colours as soon as a program that they are linked into starts, and wait up to five
// seconds for one that does not answer: that would hold up every verb.
type screen struct {
	in       *os.File
	out      io.Writer
	messages chan message
	done     chan struct{} // closed when nobody takes messages any more
}

// run shows the model until it quits, ctx is done or the terminal is gone, and then
// leaves the terminal as it was.
func (s *screen) run(ctx context.Context, m *topModel) error {
	before, err := term.MakeRaw(int(s.in.Fd()))
	if err != nil {
		return fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	s.messages, s.done = make(chan message), make(chan struct{})
	winch := make(chan os.Signal, 1)
	signal.Notify(winch, syscall.SIGWINCH)
	defer func() {
		signal.Stop(winch)
		close(s.done)
		_, _ = io.WriteString(s.out, ansi.ShowCursor+ansi.ResetAltScreenSaveCursorMode)
		_ = term.Restore(int(s.in.Fd()), before) // there is no terminal left if this fails
	}()
	if _, err := io.WriteString(s.out, ansi.SetAltScreenSaveCursorMode+ansi.HideCursor); err != nil {
		return err
	}
	s.resize(m)
	s.perform(m.Init())
	go s.read()
	return s.loop(ctx, m, winch)
}

func (s *screen) loop(ctx context.Context, m *topModel, winch <-chan os.Signal) error {
	for {
		if err := s.draw(m.View()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-winch:
			s.resize(m)
		case msg := <-s.messages:
			if _, ok := msg.(quit); ok {
				return nil
			}
			s.perform(m.Update(msg))
		}
	}
}

func (s *screen) resize(m *topModel) {
	width, height := sizeOf(s.out)
	m.Update(resized{width, height})
}

// draw writes a whole screen over the last one, in one piece, so that nothing flickers.
func (s *screen) draw(view string) error {
	text := strings.ReplaceAll(view, "\n", ansi.EraseLineRight+"\r\n") // the terminal is raw
	_, err := io.WriteString(s.out, ansi.CursorHomePosition+text+ansi.EraseScreenBelow)
	return err
}

// perform does an action aside, and sends what comes of it.
func (s *screen) perform(a action) {
	if a != nil {
		go func() { s.send(a()) }()
	}
}

func (s *screen) send(msg message) {
	if msg == nil {
		return
	}
	select {
	case s.messages <- msg:
	case <-s.done:
	}
}

// read sends what is typed until the terminal is gone. The program ends before it does.
func (s *screen) read() {
	buf := make([]byte, 256)
	for {
		n, err := s.in.Read(buf)
		for _, k := range keysIn(buf[:n]) {
			s.send(k)
		}
		if err != nil {
			s.send(quit{})
			return
		}
	}
}
