package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestCaptureQuery(t *testing.T) {
	for _, given := range []string{"", "proto=tcp", "packets=1&proto=udp&seconds=86400&snaplen=65535", "idleOver=30s&rule=egress&snaplen=20"} {
		v, err := url.ParseQuery(given)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseCaptureQuery(v)
		if err != nil || q.Query().Encode() != given {
			t.Errorf("%q became %q, %v", given, q.Query().Encode(), err)
		}
	}
}

func TestCaptureQueryErrors(t *testing.T) {
	for given, want := range map[string]string{
		"packets=0":           `api: parameter packets: "0" is no number in 1–1000000000`,
		"seconds=86401":       `api: parameter seconds: "86401" is no number in 1–86400`,
		"snaplen=19":          `api: parameter snaplen: "19" is no number in 20–65535`,
		"snaplen=all":         `api: parameter snaplen: "all" is no number in 20–65535`,
		"seconds=":            `api: parameter seconds: "" is no number in 1–86400`,
		"packets=1&packets=2": `api: parameter packets: given more than once`,
		"proto=sctp":          `api: filter proto: "sctp" is not one of tcp, udp, icmp`,
		"limit=1":             `api: unknown parameter "limit": known are `,
	} {
		v, err := url.ParseQuery(given)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseCaptureQuery(v); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", given, err)
		}
	}
}

// block is a pcapng block with that body.
func block(kind uint32, body ...byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, kind)
	b = le.AppendUint32(b, uint32(len(body)+12))
	return le.AppendUint32(append(b, body...), uint32(len(body)+12))
}

// statistics are an interface's, which has lost so many.
func statistics(of, lost byte) []byte {
	return block(statisticsBlock, of, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		4, 0, 8, 0, 9, 9, 0, 0, 0, 0, 0, 0,
		lostOption, 0, 8, 0, lost, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

var (
	captureHead   = block(0x0a0d0d0a, 1, 2, 3, 4)
	capturePacket = block(packetBlock, make([]byte, 32)...)
)

// capturing captures from a server that answers with those bytes.
func capturing(t *testing.T, parts ...[]byte) (file []byte, told []Captured, err error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != CaptureType || r.URL.String() != "/v1/capture?packets=7" {
			t.Errorf("asked %s for %s", r.URL, r.Header.Get("Accept"))
		}
		for _, p := range parts {
			_, _ = w.Write(p)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	defer s.Close()
	var b bytes.Buffer
	err = client(t, s.URL).Capture(t.Context(), CaptureQuery{Packets: 7}, &b, func(c Captured) { told = append(told, c) })
	return b.Bytes(), told, err
}

// TestCapture: statistics come last, the last ones of each interface.
func TestCapture(t *testing.T) {
	file, told, err := capturing(t,
		captureHead, capturePacket, statistics(0, 1), statistics(1, 0), capturePacket, statistics(1, 4))
	want := bytes.Join([][]byte{captureHead, capturePacket, capturePacket, statistics(0, 1), statistics(1, 4)}, nil)
	if err != nil || !bytes.Equal(file, want) {
		t.Errorf("%x\nwant %x, %v", file, want, err)
	}
	if last := told[len(told)-1]; len(told) != 5 || last != (Captured{Packets: 2, Lost: 5}) {
		t.Errorf("told %+v", told)
	}
}

// TestCaptureInterrupted: who has seen enough has a whole file.
func TestCaptureInterrupted(t *testing.T) {
	ctx, enough := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bytes.Join([][]byte{captureHead, statistics(0, 3), capturePacket, capturePacket[:20]}, nil))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	var file bytes.Buffer
	err := client(t, s.URL).Capture(ctx, CaptureQuery{}, &file, func(c Captured) {
		if c.Packets == 1 {
			enough()
		}
	})
	want := bytes.Join([][]byte{captureHead, capturePacket, statistics(0, 3)}, nil)
	if err != nil || !bytes.Equal(file.Bytes(), want) {
		t.Errorf("%x\nwant %x, %v", file.Bytes(), want, err)
	}
}

func TestCaptureBroken(t *testing.T) {
	for want, parts := range map[string][][]byte{
		"unexpected EOF": {captureHead, capturePacket[:20]},
		"a block of 1348031555 bytes: this is no pcapng of a tidegate": {[]byte("<!DOCTYPE html><html></html>")},
	} {
		file, _, err := capturing(t, parts...)
		if err == nil || err.Error() != "api: GET /v1/capture: "+want {
			t.Errorf("%v, want %s", err, want)
		}
		if len(file) != 0 && !bytes.Equal(file, captureHead) {
			t.Errorf("the file is %x", file)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(captureHead) }))
	defer s.Close()
	if err := client(t, s.URL).Capture(t.Context(), CaptureQuery{}, full{}, nil); !errors.Is(err, errNoSpace) {
		t.Errorf("a full disk: %v", err)
	}
}

var errNoSpace = errors.New("no space left on device")

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errNoSpace }
