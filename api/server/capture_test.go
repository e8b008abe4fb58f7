package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"

	"tidegate/api"
	"tidegate/capture"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// film is a capture that runs.
type film struct {
	r     *rig
	began chan struct{} // closed once packets are seen
	once  sync.Once
	told  chan api.Captured
	file  bytes.Buffer
	stop  context.CancelFunc
	done  chan error
}

// Write implements io.Writer.
func (f *film) Write(b []byte) (int, error) {
	f.once.Do(func() { close(f.began) })
	return f.file.Write(b)
}

// film begins a capture, and returns when it sees packets.
func (r *rig) film(q api.CaptureQuery, words ...string) *film {
	r.t.Helper()
	var err error
	if q.Filter, err = api.ParseFilter(words); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	f := &film{r: r, began: make(chan struct{}), stop: cancel, done: make(chan error, 1), told: make(chan api.Captured, 1<<16)}
	go func() { f.done <- r.client.Capture(ctx, q, f, func(c api.Captured) { f.told <- c }) }()
	select {
	case <-f.began:
	case err := <-f.done:
		r.t.Fatal(err)
	case <-time.After(5 * time.Second):
		r.t.Fatal("the capture does not begin")
	}
	return f
}

// end waits for the end of the capture, and returns the file.
func (f *film) end() []byte {
	f.r.t.Helper()
	select {
	case err := <-f.done:
		if err != nil {
			f.r.t.Error(err)
		}
	case <-time.After(5 * time.Second):
		f.r.t.Fatal("the capture does not end")
	}
	f.stop()
	return f.file.Bytes()
}

// count reads the file to its end.
func (f *film) count() (packets int) {
	f.r.t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(f.end()), pcapgo.NgReaderOptions{})
	if err != nil {
		f.r.t.Fatal(err)
	}
	for {
		if _, _, err := r.ReadPacketData(); err != nil {
			return packets
		}
		packets++
	}
}

// statistics returns those of an interface at the end of the file.
func (f *film) statistics(of int) pcapgo.NgInterfaceStatistics {
	f.r.t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(f.file.Bytes()), pcapgo.NgReaderOptions{})
	for err == nil {
		_, _, err = r.ReadPacketData()
	}
	about, err := r.Interface(of)
	if err != nil {
		f.r.t.Fatal(err)
	}
	return about.Statistics
}

// tshark shows the fields of a file.
func tshark(t *testing.T, file []byte, fields ...string) []string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", name, "-n", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "tcp.relative_sequence_numbers:FALSE", "-T", "fields", "-E", "separator=;"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestCapture: a connection from its first packet to the resets of its idle timeout, as
// tshark shows it.
func TestCapture(t *testing.T) {
	r := newRig(t)
	f := r.film(api.CaptureQuery{Packets: 8}, "internal=10.0.0.10")
	external := r.open("10.0.0.10:40000", "198.51.100.7:443")
	r.datagram("10.0.0.11:7", "198.51.100.7:53") // another's
	id := r.flows("proto=tcp").Flows[0].ID
	r.clock.Add(int64(testIdle + time.Minute))
	r.take(nexthop.Inside)
	r.take(nexthop.Outside)
	got := tshark(t, f.end(), "frame.interface_name", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.flags.str", "tcp.seq", "tcp.checksum.status", "frame.comment")
	_, port, _ := strings.Cut(external, ":")
	inner, outer, server := "10.0.0.10;40000", "203.0.113.5;"+port, "198.51.100.7;443"
	line := func(where, src, dst, flags string, seq int, state, fate string) string {
		return fmt.Sprintf("%s;%s;%s;%s;%d;1;flow %s egress %s: %s", where, src, dst, flags, seq, id, state, fate)
	}
	const syn, synAck, ack, rst = "··········S·", "·······A··S·", "·······A····", "·······A·R··"
	want := []string{
		line("before", inner, server, syn, 1000, "SYN_SENT", "forwarded, from the inside"),
		line("after", outer, server, syn, 1000, "SYN_SENT", "forwarded, to the outside"),
		line("before", server, outer, synAck, 5000, "SYN_RECEIVED", "forwarded, from the outside"),
		line("after", server, inner, synAck, 5000, "SYN_RECEIVED", "forwarded, to the inside"),
		line("before", inner, server, ack, 1001, "ESTABLISHED", "forwarded, from the inside"),
		line("after", outer, server, ack, 1001, "ESTABLISHED", "forwarded, to the outside"),
		line("after", server, inner, rst, 5001, "ESTABLISHED", "made by the gateway (idle), to the inside"),
		line("after", outer, server, rst, 1001, "ESTABLISHED", "made by the gateway (idle), to the outside"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestCaptureEnds by its limits, when the client has seen enough, and with the server.
func TestCaptureEnds(t *testing.T) {
	r := newRig(t)
	f := r.film(api.CaptureQuery{Packets: 3})
	r.datagram("10.0.0.10:7", "198.51.100.7:53")
	r.datagram("10.0.0.10:7", "198.51.100.7:53")
	if n := f.count(); n != 3 {
		t.Errorf("%d packets of 3", n)
	}
	if n := r.film(api.CaptureQuery{Seconds: 1, Snaplen: 20}).count(); n != 0 {
		t.Errorf("%d packets in a silent second", n)
	}
	f = r.film(api.CaptureQuery{})
	r.datagram("10.0.0.10:7", "198.51.100.7:53")
	for range 4 { // two packets, and two interfaces' statistics
		<-f.told
	}
	f.stop()
	if n, s := f.count(), f.statistics(capture.After); n != 2 || s.PacketsReceived != 1 || s.PacketsDropped != 0 {
		t.Errorf("%d packets, statistics %+v", n, s)
	}

	stopped := New(r.options)
	socket := "unix:" + filepath.Join(t.TempDir(), "api.sock")
	listeners, err := Listen([]string{socket}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stopped.Serve(ctx, listeners) }()
	r.client = newClient(t, socket)
	f = r.film(api.CaptureQuery{})
	begin := time.Now()
	stop()
	f.end()
	if err := <-done; err != nil || time.Since(begin) > grace {
		t.Errorf("the server stops after %v: %v", time.Since(begin), err)
	}
}

// TestCaptureIsCut to the snaplen, and tells the length nevertheless.
func TestCaptureIsCut(t *testing.T) {
	r := newRig(t)
	f := r.film(api.CaptureQuery{Packets: 2, Snaplen: 24}, "proto=udp")
	r.datagram("10.0.0.10:7", "198.51.100.7:53")
	want := fmt.Sprintf("%d;24", len(packettest.UDP(packettest.Datagram{Src: "10.0.0.10:7", Dst: "198.51.100.7:53", Payload: "?"})))
	for _, got := range tshark(t, f.end(), "frame.len", "frame.cap_len") {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestCapturesAreFew: one too many is refused until another ends.
func TestCapturesAreFew(t *testing.T) {
	r := newRig(t)
	var all []*film
	for range maxCaptures {
		all = append(all, r.film(api.CaptureQuery{}))
	}
	a := r.get("/v1/capture")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "4 captures run already") {
		t.Errorf("one too many: %+v", a)
	}
	for _, f := range all {
		f.stop()
		f.end()
	}
	for begin := time.Now(); r.get("/v1/capture?seconds=1").status != http.StatusOK; {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("no place is given back")
		}
	}
}

func TestCaptureRequests(t *testing.T) {
	r := newRig(t)
	for target, detail := range map[string]string{
		"/v1/capture?snaplen=1":               "api: parameter snaplen: ",
		"/v1/capture?packets=-1":              "api: parameter packets: ",
		"/v1/capture?limit=5":                 "api: unknown parameter ",
		"/v1/capture?internal=10.0.0.10&xyz=": "api: unknown parameter ",
	} {
		if a := r.get(target); a.status != http.StatusBadRequest || !strings.Contains(a.body, detail) {
			t.Errorf("%s: %+v", target, a)
		}
	}
	a := r.request(http.MethodHead, "/v1/capture")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != api.CaptureType || a.body != "" {
		t.Errorf("HEAD: %+v", a)
	}
	for range 2 * maxCaptures { // and gives its place back
		if a := r.request(http.MethodHead, "/v1/capture"); a.status != http.StatusOK {
			t.Fatalf("HEAD: %+v", a)
		}
	}
}

// TestCaptureUnharmed: a client that reads nothing costs packets of the capture, and none
// of those forwarded; what is lost is told.
func TestCaptureUnharmed(t *testing.T) {
	r := newRig(t)
	hold, lost := make(chan struct{}), uint64(0)
	f := &film{r: r, began: make(chan struct{}), done: make(chan error, 1), stop: func() {}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		f.done <- r.client.Capture(ctx, api.CaptureQuery{}, f, func(c api.Captured) {
			<-hold
			if lost = c.Lost; lost > 0 {
				cancel()
			}
		})
	}()
	<-f.began
	big := packettest.UDP(packettest.Datagram{Src: "10.0.0.10:7", Dst: "198.51.100.7:53", Payload: string(make([]byte, 1400))})
	for range 2 * captureBuffer / len(big) {
		r.pass(nexthop.Inside, bytes.Clone(big))
	}
	close(hold)
	for range 100 { // one that is seen brings the news
		r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: "10.0.0.11:1", Dst: "198.51.100.7:53", Seq: 1, Flags: packet.SYN}))
	}
	f.end()
	if lost == 0 {
		t.Error("nothing was lost")
	}
}
