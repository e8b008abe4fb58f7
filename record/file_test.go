package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/natefinch/lumberjack.v2"

	"tidegate/conntrack"
)

// linesOf reads a file of records; every line must be whole.
func linesOf(t *testing.T, path string) (lines []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v: %s", path, err, s.Text())
		}
		lines = append(lines, line)
	}
	return lines
}

func newTestFile(t *testing.T, o FileOptions) (*fileSink, *atomic.Uint64) {
	t.Helper()
	lost := new(atomic.Uint64)
	s, err := newFileSink(o, silence, lost)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, lost
}

func TestFileLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "flows.json")
	s, _ := newTestFile(t, FileOptions{Path: path})
	direct := inbound()
	direct.Via = direct.Tuple[1].Src - 1 // 10.0.0.10
	s.take(batchOf(began(1, outbound()), exhausted(2), ended(3, outbound(), conntrack.Idle), ended(4, direct, conntrack.Rst)), 0)
	s.take(batchOf(), 9)
	if got := linesOf(t, path); len(got) != 0 {
		t.Errorf("written before it was time: %v", got)
	}
	s.tick(time.Now())
	out := map[string]any{"id": "0000000000005f0e", "protocol": "tcp", "direction": "outbound", "rule": "egress", "ruleType": "outboundRule",
		"frontend": "public", "internal": "10.0.0.10:40000", "external": "203.0.113.5:1024", "remote": "198.51.100.7:443"}
	in := map[string]any{"id": "0000000000000007", "protocol": "tcp", "direction": "inbound", "rule": `so "called"`, "ruleType": "inboundNatRule",
		"frontend": "public", "internal": "10.0.0.10:22", "external": "203.0.113.5:2222", "remote": "198.51.100.9:5000"}
	end := map[string]any{"type": "end", "time": "2026-01-02T12:00:00.000Z", "created": "2026-01-02T11:59:00.000Z",
		"lastSeen": "2026-01-02T11:59:50.000Z", "durationSeconds": 60., "state": "ESTABLISHED"}
	want := []map[string]any{
		merge(out, map[string]any{"type": "start", "time": "2026-01-02T11:59:00.000Z"}),
		merge(out, end, map[string]any{"packetsOut": 10., "packetsIn": 9., "bytesOut": 900., "bytesIn": 8000., "reason": "idle", "resets": []any{"client", "server"}}),
		merge(in, end, map[string]any{"packetsOut": 9., "packetsIn": 10., "bytesOut": 8000., "bytesIn": 900., "reason": "rst", "resets": []any{}}),
		{"type": "missed", "time": "2026-01-02T12:00:00.000Z", "count": 9.},
	}
	if diff := cmp.Diff(want, linesOf(t, path)); diff != "" {
		t.Error(diff)
	}
}

func merge(all ...map[string]any) map[string]any {
	merged := make(map[string]any)
	for _, m := range all {
		for k, v := range m {
			merged[k] = v
		}
	}
	return merged
}

func TestFileIsAddedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.json")
	for range 2 {
		s, _ := newTestFile(t, FileOptions{Path: path})
		s.take(batchOf(many(3)...), 0)
		s.close()
	}
	if got := linesOf(t, path); len(got) != 6 {
		t.Errorf("%d lines", len(got))
	}
}

// Rotation keeps lines whole and files few.
func TestFileRotation(t *testing.T) {
	dir := t.TempDir()
	s, lost := newTestFile(t, FileOptions{Path: filepath.Join(dir, "flows.json"), MaxSizeInMB: 1, MaxFiles: 2})
	for range 100 {
		s.take(batchOf(many(256)...), 0)
	}
	s.close()
	var files []fs.DirEntry
	until(t, "three files", func() bool {
		files, _ = os.ReadDir(dir)
		return len(files) == 3
	})
	lines := 0
	for _, f := range files {
		if size := fileSize(t, f); size > 1<<20 {
			t.Errorf("%s has %d bytes", f.Name(), size)
		}
		lines += len(linesOf(t, filepath.Join(dir, f.Name())))
	}
	if lines < 3000 || lost.Load() != 0 {
		t.Errorf("%d lines, %d lost", lines, lost.Load())
	}
}

func fileSize(t *testing.T, f fs.DirEntry) int64 {
	t.Helper()
	is, err := f.Info()
	if err != nil {
		t.Fatal(err)
	}
	return is.Size()
}

// A disk that is full is complained of once, counted always, and no end.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.json")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	p := newPage(0)
	s := &fileSink{file: &lumberjack.Logger{Filename: path}, log: p.Logger, lost: new(atomic.Uint64)}
	defer s.close()
	for range 3 {
		s.take(batchOf(many(10)...), 0)
		s.tick(time.Now())
	}
	if s.lost.Load() != 30 {
		t.Errorf("%d are lost", s.lost.Load())
	}
	lines := p.lines(t)
	if len(lines) != 1 || lines[0]["level"] != "ERROR" || lines[0]["key"] != "flowRecords.file.path" || !strings.Contains(lines[0]["error"].(string), "no space left") {
		t.Errorf("%v", lines)
	}
}

// After a write that broke off, what follows begins on a line of its own.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.json")
	s, lost := newTestFile(t, FileOptions{Path: path})
	s.take(batchOf(many(3)...), 0)
	half := bytes.IndexByte(s.buf, '\n') + 20
	if _, err := s.file.Write(s.buf[:half]); err != nil {
		t.Fatal(err)
	}
	s.fail(half, fs.ErrClosed) // as flush does when only that much was written
	s.buf, s.lines = s.buf[:0], 0
	s.take(batchOf(many(1)...), 0)
	s.flush()
	b, err := os.ReadFile(path)
	if lines := strings.Split(strings.TrimSpace(string(b)), "\n"); err != nil || len(lines) != 3 || !json.Valid([]byte(lines[2])) || json.Valid([]byte(lines[1])) {
		t.Errorf("%v\n%s", err, b)
	}
	if lost.Load() != 2 {
		t.Errorf("%d are lost, want 2", lost.Load())
	}
}
