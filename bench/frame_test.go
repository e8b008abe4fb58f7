package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"tidegate/packet/packettest"
)

var testLink = link{
	Source:      net.HardwareAddr{2, 0, 10, 0, 0, 10},
	Destination: net.HardwareAddr{2, 0, 10, 0, 0, 1},
}

// The flood's frames, which are patched, are those that gopacket makes from scratch.
func TestDatagramIsWhatGopacketMakes(t *testing.T) {
	d, f := newDatagram(testLink, clientAddr), make([]byte, frameLength)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 3_000_000_000).Draw(t, "flow")
		d.write(f, n)
		if diff := cmp.Diff(slowDatagram(t, n), f); diff != "" {
			t.Fatal(diff)
		}
		if err := packettest.Verify(f[ethernetLength:]); err != nil {
			t.Fatal(err)
		}
	})
}

func slowDatagram(t *rapid.T, n uint64) []byte {
	destination := make(net.IP, 4)
	binary.BigEndian.PutUint32(destination, 198<<24|18<<16+1+uint32(n/30_000))
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP,
		SrcIP: clientAddr.AsSlice(), DstIP: destination,
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(10_000 + n%30_000), DstPort: 9}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: testLink.Source, DstMAC: testLink.Destination, EthernetType: layers.EthernetTypeIPv4},
		ip, udp, gopacket.Payload(make([]byte, 18)))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFlowsDiffer(t *testing.T) {
	seen := make(map[[2]uint32]uint64)
	for n := uint64(0); n < 200_000; n++ {
		key := [2]uint32{flowDestination(n), uint32(flowPort(n))}
		if other, twice := seen[key]; twice {
			t.Fatalf("flow %d is flow %d", n, other)
		}
		seen[key] = n
	}
	if last := netip.AddrFrom4([4]byte{198, 19, 255, 254}); !farPrefix.Contains(last) {
		t.Errorf("%s is not behind the server", last)
	}
}

func TestSegmentReadsAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1_000_000).Draw(t, "connection")
		want := connection(n, rapid.Uint32().Draw(t, "seq"), rapid.Uint32().Draw(t, "ack"), rapid.Byte().Draw(t, "flags"))
		f := make([]byte, segmentLength)
		want.write(f, testLink)
		if err := packettest.Verify(f[ethernetLength:]); err != nil {
			t.Fatal(err)
		}
		got, ok := readSegment(f)
		if !ok || got != want {
			t.Fatalf("read %+v, %t, want %+v", got, ok, want)
		}
		if back := connectionOf(got.src.Port(), got.dst.Addr()); back != n {
			t.Fatalf("connection %d reads as %d", n, back)
		}
	})
}

func TestReadSegmentTakesNothingElse(t *testing.T) {
	udp := make([]byte, frameLength)
	newDatagram(testLink, clientAddr).write(udp, 1)
	arp := make([]byte, frameLength)
	arp[12], arp[13] = 8, 6
	for name, f := range map[string][]byte{"udp": udp, "arp": arp, "empty": nil, "short": udp[:segmentLength-1]} {
		if s, ok := readSegment(f); ok {
			t.Errorf("%s frame reads as %+v", name, s)
		}
	}
}
