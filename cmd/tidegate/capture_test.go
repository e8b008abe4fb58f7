package main

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/api"
)

// captureOf is a gateway that sends so many empty packets and ends the capture.
func captureOf(t *testing.T, packets int) *httptest.Server {
	t.Helper()
	block := binary.LittleEndian.AppendUint32(nil, 6) // an enhanced packet block
	block = binary.LittleEndian.AppendUint32(block, 12)
	block = binary.LittleEndian.AppendUint32(block, 12)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.CaptureType)
		_, _ = w.Write([]byte(strings.Repeat(string(block), packets)))
	}))
	t.Cleanup(s.Close)
	return s
}

// A capture that neither its limits nor the user ended is a failure.
func TestCaptureEnds(t *testing.T) {
	s := captureOf(t, 3)
	for flags, want := range map[string]string{
		"--packets 3": "", "--packets 4": "the gateway ended the capture", "": "the gateway ended the capture",
		"--seconds 60": "the gateway ended the capture",
	} {
		file := filepath.Join(t.TempDir(), "x.pcapng")
		_, notes, err := call(t, append([]string{"capture", "--api", s.URL, "-w", file}, strings.Fields(flags)...)...)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", flags, err)
		}
		if err != nil && exitStatus(err) != exitFailed {
			t.Errorf("%q: exit status %d", flags, exitStatus(err))
		}
		if notes != "3 packets, 0 lost\n" || len(content(t, file)) != 36 {
			t.Errorf("%q: %s", flags, notes)
		}
	}
}

// Only its owner may read the file, whoever could before.
func TestCaptureIsPrivate(t *testing.T) {
	s := captureOf(t, 1)
	file := filepath.Join(t.TempDir(), "x.pcapng")
	if err := os.WriteFile(file, []byte("what was there before, and is longer than what comes"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := call(t, "capture", "--api", s.URL, "--packets", "1", "-w", file); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Stat(file); err != nil || f.Mode().Perm() != 0o600 || f.Size() != 12 {
		t.Error(f, err)
	}
}

// What is wrong with the file is not the API's fault.
func TestCaptureNoFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing", "x.pcapng")
	_, _, err := call(t, "capture", "--api", captureOf(t, 1).URL, "-w", file)
	if want := "capture: open " + file + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
