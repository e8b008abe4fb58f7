package capture

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"

	"tidegate/packet/packettest"
)

var (
	sent = packettest.UDP(packettest.Datagram{Src: "10.0.0.10:7", Dst: "198.51.100.7:7", Payload: "tide"})
	gone = packettest.UDP(packettest.Datagram{Src: "203.0.113.5:1024", Dst: "198.51.100.7:7", Payload: "tides"})
	noon = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
)

// samples are of every length modulo four, whole and cut, with a comment and without.
func samples() (all []Packet) {
	for i := range 8 {
		b, comment := sent, strings.Repeat("é", i)
		if i%2 == After {
			b = gone
		}
		all = append(all, Packet{
			Interface: i % 2, Time: noon.Add(time.Duration(i)), Outbound: i%2 == After,
			Length: len(b), Bytes: b[:len(b)-i/2], Comment: comment,
		})
	}
	return all
}

func file(t *testing.T, packets []Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, "tidegate 1.2.3", 2000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if err := w.Write(&packets[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Statistics([2]uint64{3, 0}, noon); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReadByGopacket: another implementation reads back what was written.
func TestReadByGopacket(t *testing.T) {
	packets := samples()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file(t, packets)), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range packets {
		b, about, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want.Bytes) || about.Length != want.Length || !about.Timestamp.Equal(want.Time) || about.InterfaceIndex != want.Interface {
			t.Errorf("packet %d: %x, %+v\nwant %+v", i, b, about, want)
		}
	}
	if _, _, err := r.ReadPacketData(); err == nil {
		t.Error("there is one more packet")
	}
	if s := r.SectionInfo(); s.Application != "tidegate 1.2.3" {
		t.Errorf("section %+v", s)
	}
	for i, name := range []string{"before", "after"} {
		f, err := r.Interface(i)
		if err != nil || f.Name != name || f.SnapLength != 2000 || f.LinkType != linkRaw {
			t.Errorf("interface %d: %+v, %v", i, f, err)
		}
		if s := f.Statistics; s.PacketsReceived != uint64(7-3*i) || s.PacketsDropped != uint64(3-3*i) {
			t.Errorf("statistics of %s: %+v", name, s)
		}
	}
}

// TestReadByTshark: what Wireshark shows of it.
func TestReadByTshark(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.pcapng")
	hostile := strings.Repeat("x", maxComment-1) + "é\n"
	if err := os.WriteFile(name, file(t, []Packet{
		{Interface: Before, Time: noon, Length: len(sent), Bytes: sent, Comment: "flow 1, forwarded"},
		{Interface: After, Time: noon.Add(1), Outbound: true, Length: len(gone), Bytes: gone, Comment: hostile},
	}), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tshark", "-r", name, "-o", "udp.check_checksum:TRUE", "-T", "fields", "-E", "separator=;",
		"-e", "frame.interface_name", "-e", "frame.packet_flags_direction", "-e", "frame.time_epoch",
		"-e", "ip.src", "-e", "udp.srcport", "-e", "udp.checksum.status", "-e", "frame.comment", "-e", "_ws.malformed")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	want := "before;0x00000001;1767323045.678901234;10.0.0.10;7;1;flow 1, forwarded;\n" +
		"after;0x00000002;1767323045.678901235;203.0.113.5;1024;1;" + hostile[:maxComment-1] + ";\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Error(diff)
	}
}

// broken takes some bytes, then fails.
type broken int

var errBroken = errors.New("no space left")

func (b *broken) Write(p []byte) (int, error) {
	if *b -= broken(len(p)); *b < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	none := broken(10)
	if _, err := NewWriter(&none, "x", 1); !errors.Is(err, errBroken) {
		t.Errorf("header: %v", err)
	}
	some := broken(1 << 20)
	w, err := NewWriter(&some, "x", 1)
	if err != nil {
		t.Fatal(err)
	}
	some = 10
	if err := w.Write(&Packet{Bytes: sent}); !errors.Is(err, errBroken) {
		t.Errorf("packet: %v", err)
	}
	if err := w.Statistics([2]uint64{}, noon); !errors.Is(err, errBroken) {
		t.Errorf("statistics: %v", err)
	}
}
