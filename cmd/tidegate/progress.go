package main

import (
	"fmt"
	"io"
	"time"
)

// patience is how long a verb is silent before it says that it is still at work.
const patience = 2 * time.Second

// working does work. If that takes longer than patience and w is a terminal, it says
// so there once a second, and wipes that away in the end.
func working(w io.Writer, what func() string, work func() error) error {
	if !isTerminal(w) {
		return work()
	}
	done, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		tell(w, what, done)
	}()
	err := work()
	close(done)
	<-told
	return err
}

// tell says what goes on until done.
func tell(w io.Writer, what func() string, done <-chan struct{}) {
	start, next := time.Now(), time.NewTimer(patience)
	defer next.Stop()
	for {
		select {
		case <-done:
			if time.Since(start) >= patience {
				fmt.Fprint(w, wipe)
			}
			return
		case <-next.C:
			fmt.Fprintf(w, "%s%s … %d s", wipe, clean(what()), int(time.Since(start).Seconds()))
			next.Reset(time.Second)
		}
	}
}

// wipe goes to the start of the line and makes it empty.
const wipe = "\r\x1b[K"
