package record

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBadOptions(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		o    Options
		want []string
	}{
		{"no path", Options{File: &FileOptions{}}, []string{"flowRecords.file.path", "empty"}},
		{"a directory", Options{File: &FileOptions{Path: dir}}, []string{"flowRecords.file.path", dir, "no regular file"}},
		{"a device", Options{File: &FileOptions{Path: "/dev/full"}}, []string{"flowRecords.file.path", "no regular file"}},
		{"below a file", Options{File: &FileOptions{Path: "/etc/passwd/x"}}, []string{"flowRecords.file.path", "/etc/passwd/x"}},
		{"size", Options{File: &FileOptions{Path: dir + "/x", MaxSizeInMB: -1}}, []string{"flowRecords.file.maxSizeInMB", "-1"}},
		{"files", Options{File: &FileOptions{Path: dir + "/x", MaxFiles: -1}}, []string{"flowRecords.file.maxFiles", "-1"}},
		{"no port", Options{IPFIX: &IPFIXOptions{Collector: "192.0.2.1"}}, []string{"flowRecords.ipfix.collector", "host:port"}},
		{"port", Options{IPFIX: &IPFIXOptions{Collector: "192.0.2.1:http-ish"}}, []string{"flowRecords.ipfix.collector"}},
		{"tcp port", Options{IPFIX: &IPFIXOptions{Collector: "192.0.2.1:99999", Protocol: "tcp"}}, []string{"flowRecords.ipfix.collector"}},
		{"protocol", Options{IPFIX: &IPFIXOptions{Collector: "192.0.2.1:4739", Protocol: "sctp"}}, []string{"flowRecords.ipfix.protocol", "sctp"}},
		{"the second of two", Options{File: &FileOptions{Path: dir + "/y"}, IPFIX: &IPFIXOptions{}}, []string{"flowRecords.ipfix.collector"}},
	} {
		c.o.Gateway = &past{}
		r, err := New(c.o)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			r.cancel()
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v does not say %q", c.name, err, part)
			}
		}
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Error("a device was renamed:", err)
	}
}

// What has happened until the end is in the file, in order, and so is what was missed.
func TestRun(t *testing.T) {
	path, all := filepath.Join(t.TempDir(), "flows.json"), many(2000)
	source := &past{events: all[:1000:1000], late: all[1000:], missed: 5}
	r, stop := start(t, Options{Gateway: source, Log: silence, File: &FileOptions{Path: path}})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	lines := linesOf(t, path)
	if len(lines) != 2001 || lines[0]["type"] != "missed" || lines[0]["count"] != 5. {
		t.Fatalf("%d lines, the first %v", len(lines), lines[0])
	}
	for i, l := range lines[1:] {
		if want := []string{"start", "end"}[i%2]; l["type"] != want {
			t.Fatalf("line %d is %v", i, l)
		}
	}
	if diff := cmp.Diff(map[string]uint64{"log": 5, "file": 5}, r.Lost()); diff != "" {
		t.Error(diff)
	}
}

// The file is written each second, not only at the end.
func TestFlushed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.json")
	start(t, Options{Gateway: &past{events: many(4)}, File: &FileOptions{Path: path}})
	until(t, "four lines", func() bool { return len(linesOf(t, path)) == 4 })
}

// stuck is a terminal that nobody reads.
type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) {
	<-s
	return len(p), nil
}

// A log that blocks keeps nothing from the file; what it has no room for is
// counted, and the end waits for it about a second.
func TestSlowSink(t *testing.T) {
	path, blocked := filepath.Join(t.TempDir(), "flows.json"), make(stuck)
	log := slog.New(slog.NewTextHandler(blocked, &slog.HandlerOptions{Level: slog.LevelDebug}))
	const n = laneEvents + 10*256
	r, stop := start(t, Options{Gateway: &past{events: many(n)}, Log: log, File: &FileOptions{Path: path, MaxSizeInMB: 1000}})
	until(t, "all lines", func() bool {
		b, err := os.ReadFile(path)
		return err == nil && strings.Count(string(b), "\n") == n
	})
	if lost := r.Lost(); lost["log"] != 10*256 || lost["file"] != 0 {
		t.Errorf("lost are %v", lost)
	}
	began := time.Now()
	if err := stop(); !errors.Is(err, errSlow) {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*drainTime {
		t.Errorf("the end took %v", took)
	}
	close(blocked)
}

func TestNothingToRecord(t *testing.T) {
	r, stop := start(t, Options{Gateway: &past{events: many(3)}})
	if err := stop(); err != nil || len(r.Lost()) != 0 {
		t.Error(err, r.Lost())
	}
}
