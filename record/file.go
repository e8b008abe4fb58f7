package record

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"tidegate/gateway"
)

// FileOptions say where flow records go, one line of JSON each.
type FileOptions struct {
	Path        string // a regular file, made with mode 0600 if there is none; its directory too
	MaxSizeInMB int    // in 2^20 bytes: a larger file is put aside with the time in its name; 0 means 100
	MaxFiles    int    // how many of those put aside are kept; 0 means 10
}

const (
	defaultSizeInMB = 100 // with the 10 others a gigabyte, some four million flows
	defaultFiles    = 10

	// fileFlush is how old a record gets before it is in the file.
	fileFlush = time.Second

	// fileBuffer is how many bytes are written at once; it ends with a whole line.
	fileBuffer = 64 << 10

	// complainEvery is how often the log says that the file can't be written.
	complainEvery = time.Minute
)

// fileSink writes flow records. Lines are kept whole: a write that failed in the
// middle of one is followed by a line feed.
type fileSink struct {
	file     *lumberjack.Logger
	log      *slog.Logger // may be nil
	lost     *atomic.Uint64
	buf      []byte
	lines    uint64 // in buf
	torn     bool   // the file ends within a line
	complain time.Time
}

func newFileSink(o FileOptions, log *slog.Logger, lost *atomic.Uint64) (*fileSink, error) {
	if err := refuse(o); err != nil {
		return nil, err
	}
	if o.MaxSizeInMB == 0 {
		o.MaxSizeInMB = defaultSizeInMB
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = defaultFiles
	}
	s := &fileSink{
		file: &lumberjack.Logger{Filename: o.Path, MaxSize: o.MaxSizeInMB, MaxBackups: o.MaxFiles},
		log:  log, lost: lost, buf: make([]byte, 0, fileBuffer+maxLine),
	}
	if _, err := s.file.Write(nil); err != nil { // opens it
		return nil, fmt.Errorf("record: flowRecords.file.path: open %s: %w", o.Path, err)
	}
	return s, nil
}

// refuse keeps rotation, which renames, from what is no file of records.
func refuse(o FileOptions) error {
	switch {
	case o.Path == "":
		return fmt.Errorf("record: flowRecords.file.path: is empty; name a file")
	case o.MaxSizeInMB < 0:
		return fmt.Errorf("record: flowRecords.file.maxSizeInMB: %d is negative", o.MaxSizeInMB)
	case o.MaxFiles < 0:
		return fmt.Errorf("record: flowRecords.file.maxFiles: %d is negative", o.MaxFiles)
	}
	if is, err := os.Stat(o.Path); err == nil && !is.Mode().IsRegular() {
		return fmt.Errorf("record: flowRecords.file.path: %s is no regular file; name another", o.Path)
	}
	f, err := os.OpenFile(o.Path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		return f.Close()
	}
	if !os.IsNotExist(err) {
		return fmt.Errorf("record: flowRecords.file.path: %w; let the gateway write to it, or name another", err)
	}
	return nil
}

func (s *fileSink) take(b *batch, missed uint64) {
	if missed > 0 {
		s.line(appendMissed(s.buf, b.wall.UTC(), missed))
	}
	for i := range b.events {
		switch e := &b.events[i]; e.Kind {
		case gateway.FlowCreated:
			s.line(appendStart(s.buf, b, e))
		case gateway.FlowClosed:
			s.line(appendEnd(s.buf, b, e))
		}
	}
}

// line takes the buffer back with one line more.
func (s *fileSink) line(buf []byte) {
	s.buf = append(buf, '\n')
	s.lines++
	if len(s.buf) >= fileBuffer {
		s.flush()
	}
}

func (s *fileSink) tick(time.Time) { s.flush() }

func (s *fileSink) flush() {
	if s.lines == 0 {
		return
	}
	n, err := s.write()
	if err != nil {
		s.fail(n, err)
	}
	s.buf, s.lines = s.buf[:0], 0
}

func (s *fileSink) write() (int, error) {
	if s.torn {
		if _, err := s.file.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		s.torn = false
	}
	return s.file.Write(s.buf)
}

// fail counts the lines that are not in the file.
func (s *fileSink) fail(n int, err error) {
	s.torn = s.torn || n > 0 && s.buf[n-1] != '\n'
	for _, c := range s.buf[:n] {
		if c == '\n' {
			s.lines--
		}
	}
	s.lost.Add(s.lines)
	if now := time.Now(); s.log != nil && now.Sub(s.complain) >= complainEvery {
		s.complain = now
		s.log.Error("flow records are lost", "key", "flowRecords.file.path", "file", s.file.Filename, "lost", s.lost.Load(), "error", err)
	}
}

func (s *fileSink) close() {
	s.flush()
	if err := s.file.Close(); err != nil && s.log != nil {
		s.log.Error("flow records may be lost", "file", s.file.Filename, "error", err)
	}
}
