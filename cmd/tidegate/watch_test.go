package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watchLab is a directory with a watched file in it, which holds "a" at first.
type watchLab struct {
	*testing.T
	dir, path string
	contents  chan string // what the file held each time that a change was told
	ended     chan error
}

// newWatchLab watches conf in dir, which prepare makes.
func newWatchLab(t *testing.T, prepare func(l *watchLab)) *watchLab {
	t.Parallel()
	l := &watchLab{T: t, dir: t.TempDir(), contents: make(chan string, 9), ended: make(chan error, 1)}
	l.path = l.in("conf")
	prepare(l)
	w, err := newFileWatch(l.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		l.ended <- w.run(ctx, func() {
			content, err := os.ReadFile(l.path)
			if err != nil {
				t.Error(err)
			}
			l.contents <- string(content)
		})
	}()
	return l
}

func plainFile(l *watchLab) { l.write("conf", "a") }

func (l *watchLab) in(name string) string { return filepath.Join(l.dir, name) }

func (l *watchLab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// write writes a file in place, and makes its directory.
func (l *watchLab) write(name, content string) {
	l.Helper()
	l.must(os.MkdirAll(filepath.Dir(l.in(name)), 0o755))
	l.must(os.WriteFile(l.in(name), []byte(content), 0o600))
}

// put puts a new file in the place of another.
func (l *watchLab) put(name, content string) {
	l.Helper()
	l.write(name+".new", content)
	l.must(os.Rename(l.in(name+".new"), l.in(name)))
}

// link puts a new link in the place of whatever was there.
func (l *watchLab) link(name, target string) {
	l.Helper()
	l.must(os.Symlink(target, l.in(name+".new")))
	l.must(os.Rename(l.in(name+".new"), l.in(name)))
}

// told waits for one change to be told.
func (l *watchLab) told(want string) {
	l.Helper()
	select {
	case got := <-l.contents:
		if got != want {
			l.Errorf("a change to %q was told, want %q", got, want)
		}
	case err := <-l.ended:
		l.Fatalf("ended with %v", err)
	case <-time.After(5 * time.Second):
		l.Errorf("no change to %q was told", want)
	}
}

// quiet waits for as long as a change would take to be told.
func (l *watchLab) quiet() {
	l.Helper()
	select {
	case got := <-l.contents:
		l.Errorf("a change to %q was told, want none", got)
	case err := <-l.ended:
		l.Fatalf("ended with %v", err)
	case <-time.After(settled * 3 / 2):
	}
}

func TestFileWatchInPlace(t *testing.T) {
	l := newWatchLab(t, plainFile)
	l.write("conf", "b")
	l.told("b")
	l.write("conf", "a")
	l.told("a")
	l.quiet()
}

func TestFileWatchInSeveralSteps(t *testing.T) {
	l := newWatchLab(t, plainFile)
	for _, step := range []string{"", "b", "bc", "bcd"} {
		l.write("conf", step)
	}
	l.told("bcd")
	l.quiet()
}

func TestFileWatchRenameOver(t *testing.T) {
	l := newWatchLab(t, plainFile)
	l.put("conf", "a")
	l.quiet()
	l.put("conf", "b")
	l.told("b")
	l.put("conf", "c")
	l.told("c")
}

func TestFileWatchDeletedAndBack(t *testing.T) {
	l := newWatchLab(t, plainFile)
	l.must(os.Remove(l.path))
	l.quiet()
	l.write("conf", "a")
	l.quiet()
	l.must(os.Remove(l.path))
	l.write("conf", "b")
	l.told("b")
}

func TestFileWatchNeighbours(t *testing.T) {
	l := newWatchLab(t, plainFile)
	l.write("conf.swp", "x")
	l.put("other", "b")
	l.must(os.Remove(l.in("conf.swp")))
	l.quiet()
	l.write("conf", "b")
	stop := make(chan bool)
	go func() { // they don't put it off
		for tick := time.NewTicker(settled / 10); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				_ = os.WriteFile(l.in("other"), []byte("c"), 0o600)
			}
		}
	}()
	l.told("b")
	stop <- true
}

// TestFileWatchKubernetes swaps directories as a kubelet does for a ConfigMap.
func TestFileWatchKubernetes(t *testing.T) {
	l := newWatchLab(t, func(l *watchLab) {
		l.write("..1/conf", "a")
		l.link("..data", "..1")
		l.link("conf", "..data/conf")
	})
	for _, next := range []struct{ before, now, content string }{{"..1", "..2", "b"}, {"..2", "..3", "c"}} {
		l.write(next.now+"/conf", next.content)
		l.link("..data", next.now)
		l.must(os.RemoveAll(l.in(next.before)))
		l.told(next.content)
	}
	l.write("..3/conf", "d")
	l.told("d")
}

func TestFileWatchLinkElsewhere(t *testing.T) {
	l := newWatchLab(t, func(l *watchLab) {
		l.write("one/real", "a")
		l.link("conf", l.in("one/real"))
	})
	l.write("one/real", "b")
	l.told("b")
	l.write("two/real", "c")
	l.link("conf", "two/real")
	l.told("c")
	l.put("two/real", "d")
	l.told("d")
}

func TestFileWatchLinkedDirectory(t *testing.T) {
	l := newWatchLab(t, func(l *watchLab) {
		l.write("1/etc/conf", "a")
		l.link("current", "1")
		l.path = l.in("current/etc/conf")
	})
	l.write("2/etc/conf", "b")
	l.link("current", "2")
	l.told("b")
	l.write("2/etc/conf", "c")
	l.told("c")
}

func TestFileWatchWithoutDirectory(t *testing.T) {
	l := newWatchLab(t, func(l *watchLab) {
		l.write("etc/conf", "a")
		l.path = l.in("etc/conf")
	})
	l.must(os.RemoveAll(l.in("etc")))
	err := <-l.ended
	if want := "directory " + l.in("etc") + " is not there"; err == nil || err.Error() != want {
		t.Errorf("ended with %v, want %s", err, want)
	}
	_, err = newFileWatch(l.path)
	if want := "watch " + l.path + ": directory "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("began with %v, want %s…", err, want)
	}
}

func TestFileWatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w, err := newFileWatch(filepath.Join(t.TempDir(), "conf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(ctx, func() { t.Error("a change was told") }); err != nil {
		t.Error(err)
	}
}
