package record

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"tidegate/conntrack"
)

// tshark prints fields of the packets of a capture file, one line each.
func tshark(t *testing.T, file string, port int, filter string, fields ...string) []string {
	t.Helper()
	args := []string{"-r", file, "-d", fmt.Sprintf("udp.port==%d,cflow", port), "-Y", filter, "-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(t.Context(), "tshark", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// capture writes datagrams as they were received into a pcap file.
func capture(t *testing.T, port int, datagrams [][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ipfix.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	local := net.IPv4(127, 0, 0, 1).To4()
	for i, d := range datagrams {
		header := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: local, DstIP: local}
		udp := &layers.UDP{SrcPort: 40000, DstPort: layers.UDPPort(port)}
		udp.SetNetworkLayerForChecksum(header)
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, header, udp, gopacket.Payload(d)); err != nil {
			t.Fatal(err)
		}
		at := gopacket.CaptureInfo{Timestamp: noon.Add(time.Duration(i) * time.Second), CaptureLength: len(buf.Bytes()), Length: len(buf.Bytes())}
		if err := w.WritePacket(at, buf.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Wireshark reads every record as it is meant, knows every element, and finds
// nothing malformed and no number out of sequence.
func TestTshark(t *testing.T) {
	s, conn, _ := udpSink(t)
	s.take(batchOf(began(1, outbound()), ended(2, inbound(), conntrack.Idle), exhausted(3)), 0)
	s.tick(time.Now())
	s.take(batchOf(many(100)...), 0)
	s.tick(time.Now())
	port, c := conn.LocalAddr().(*net.UDPAddr).Port, newCollector(t)
	var all [][]byte
	for len(c.records) < 103 {
		all = append(all, datagram(t, conn))
		c.message(all[len(all)-1], testDomain)
	}
	file := capture(t, port, all)
	if bad := tshark(t, file, port, "_ws.malformed || _ws.expert", "frame.number", "_ws.expert.message"); len(bad) != 0 {
		t.Errorf("Wireshark objects: %v", bad)
	}
	if n := len(tshark(t, file, port, "cflow.version == 10 && cflow.od_id == 77", "frame.number")); n != len(all) {
		t.Errorf("%d of %d messages are IPFIX to Wireshark", n, len(all))
	}
	got := tshark(t, file, port, "frame.number == 2",
		"cflow.nat_event", "cflow.srcaddr", "cflow.post_natsource_ipv4_address", "cflow.dstaddr", "cflow.post_natdestination_ipv4_address",
		"cflow.srcport", "cflow.post_naptsource_transport_port", "cflow.dstport", "cflow.post_naptdestination_transport_port",
		"cflow.protocol", "cflow.nat_originating_address_realm", "cflow.flow_id", "cflow.flow_end_reason", "cflow.packets", "cflow.octets")
	want := []string{strings.Join([]string{
		"4,5,12", "10.0.0.10,198.51.100.9,10.0.0.10", "203.0.113.5,198.51.100.9", "198.51.100.7,203.0.113.5,198.51.100.7", "198.51.100.7,10.0.0.11",
		"40000,5000", "1024,5000", "443,2222,53", "443,22", "6,6,17", "1,2", "24334,7", "1", "10,9", "900,8000",
	}, "\t")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
