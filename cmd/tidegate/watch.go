package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settled  = 200 * time.Millisecond // some editors write a file in several steps
	maxLinks = 40                     // on the way to a file, path_resolution(7)
)

// fileWatch is a file and what is known of its content.
type fileWatch struct {
	path   string // absolute
	notify *fsnotify.Watcher
	seen   fileSum // now
	told   fileSum // when changed was called last
}

// fileSum stands for a file's content; zero for a file that can't be read.
type fileSum [sha256.Size]byte

// newFileWatch begins to watch a file, which is as it should be now.
//
// Directories are watched, not the file: editors put a new one in its place, and
// Kubernetes a new link.
func newFileWatch(path string) (w *fileWatch, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("watch %s: %w", path, err)
		}
	}()
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w = &fileWatch{path: absolute, notify: notify}
	if err := w.follow(); err != nil {
		notify.Close()
		return nil, err
	}
	w.look()
	w.told = w.seen
	return w, nil
}

func (w *fileWatch) close() error { return w.notify.Close() }

// run calls changed whenever the file's content is another than before and has been so
// for a moment, until ctx is done, which is no error. A file that is away, or can't be
// read, is no change, and none when it comes back as it was. An error says that nothing
// is watched any more; what runs may go on.
func (w *fileWatch) run(ctx context.Context, changed func()) (err error) {
	defer w.notify.Close()
	wait := time.NewTimer(settled)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.notify.Events:
			err = w.follow()
		case err = <-w.notify.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) { // whatever was missed is looked for now
				err = w.follow()
			}
		case <-wait.C:
			if w.news() {
				changed()
			}
			continue
		}
		if err != nil {
			return err
		}
		if w.look() {
			wait.Reset(settled)
		}
	}
}

// follow watches the directories that matter now, and no others.
func (w *fileWatch) follow() error {
	matter := directories(w.path)
	for _, dir := range matter {
		if err := w.notify.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, dir := range w.notify.WatchList() {
		if !slices.Contains(matter, dir) {
			_ = w.notify.Remove(dir) // it may have gone by itself
		}
	}
	if len(w.notify.WatchList()) == 0 {
		return fmt.Errorf("directory %s is not there", filepath.Dir(w.path))
	}
	return nil
}

// look reports whether the content is another than at the last look.
func (w *fileWatch) look() bool {
	before := w.seen
	w.seen = sumOf(w.path)
	return w.seen != before
}

// news reports, once, that there is content of which nobody was told.
func (w *fileWatch) news() bool {
	if w.seen == w.told || w.seen == (fileSum{}) {
		return false
	}
	w.told = w.seen
	return true
}

func sumOf(path string) (sum fileSum) {
	f, err := os.Open(path)
	if err != nil {
		return fileSum{}
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fileSum{}
	}
	h.Sum(sum[:0])
	return sum
}

// directories returns those in which a change can put another file at path: its
// own, and that of each link on the way.
func directories(path string) []string {
	var all []string
	for range maxLinks {
		link, target := firstLink(path)
		if link == "" {
			break
		}
		all = append(all, filepath.Dir(link))
		path = filepath.Join(target, path[len(link):])
	}
	return append(all, filepath.Dir(path))
}

// firstLink returns the first of an absolute path's parts that is a link, and
// what it leads to; nothing if none is one.
func firstLink(path string) (link, target string) {
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != '/' {
			continue
		}
		target, err := os.Readlink(path[:end])
		switch {
		case err != nil:
		case strings.HasPrefix(target, "/"):
			return path[:end], target
		default:
			return path[:end], filepath.Join(filepath.Dir(path[:end]), target)
		}
	}
	return "", ""
}
