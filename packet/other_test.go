package packet_test

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// others are packets of the protocols of which only addresses change, and whether
// their own checksum is right.
var others = []struct {
	name  string
	b     []byte
	right func(b []byte) bool
}{
	{"GRE", packettest.IPv4(packettest.Packet{Src: "10.0.0.20", Dst: "198.51.100.7", Proto: packet.GRE, Payload: "\x80\x00\x08\x00 whatever is inside"}), always},
	{"GRE, empty", packettest.IPv4(packettest.Packet{Src: "10.0.0.20", Dst: "198.51.100.7", Proto: packet.GRE}), always},
	{"SCTP", packettest.SCTP("10.0.0.20:3868", "198.51.100.7:3868", "one chunk"), crcIsRight},
	{"UDP-Lite", packettest.UDPLite("10.0.0.20:5004", "198.51.100.7:5004", 0, "all of it is covered"), liteIsRight},
	{"UDP-Lite, odd", packettest.UDPLite("10.0.0.20:5004", "198.51.100.7:5004", 0, "odd"), liteIsRight},
	{"UDP-Lite, header only", packettest.UDPLite("10.0.0.20:5004", "198.51.100.7:5004", 8, "not covered"), liteIsRight},
	{"UDP-Lite, in part", packettest.UDPLite("10.0.0.20:5004", "198.51.100.7:5004", 13, "five bytes are"), liteIsRight},
}

func always([]byte) bool { return true }

// crcIsRight is RFC 9260 appendix A.
func crcIsRight(b []byte) bool {
	l4 := slices.Clone(b[20:])
	sent := binary.LittleEndian.Uint32(l4[8:])
	clear(l4[8:12])
	return sent == crc32.Checksum(l4, crc32.MakeTable(crc32.Castagnoli))
}

func liteIsRight(b []byte) bool { return packettest.VerifyUDPLite(b) == nil }

func TestRewriteAddresses(t *testing.T) {
	for _, c := range others {
		for _, hop := range []packet.Hop{packet.KeepTTL, packet.TakeTTL} {
			want := packettest.Fields(t, c.b)
			want.Src, want.Dst = "203.0.113.9", "192.0.2.1"
			if hop == packet.TakeTTL {
				want.TTL--
			}
			got := slices.Clone(c.b)
			p := decode(t, got)
			if !packet.AddressesOnly(p.Proto) {
				t.Fatalf("%s: not a protocol for it", c.name)
			}
			packet.RewriteAddresses(got, &p, packettest.Addr("203.0.113.9"), packettest.Addr("192.0.2.1"), hop)
			packettest.Check(t, got)
			if !c.right(got) {
				t.Errorf("%s: its own checksum is wrong: % x", c.name, got)
			}
			v := packettest.Fields(t, got)
			if p.Proto == packet.UDPLite { // what differs is the checksum
				v.Payload = v.Payload[:6] + want.Payload[6:8] + v.Payload[8:]
			}
			if diff := cmp.Diff(want, v); diff != "" {
				t.Errorf("%s: %s", c.name, diff)
			}
		}
	}
}

// TestRewriteAddressesOfLaterFragments: nothing but the header is theirs to change.
func TestRewriteAddressesOfLaterFragments(t *testing.T) {
	for _, c := range others {
		for _, piece := range packettest.Fragments(c.b, 28) {
			p := decode(t, piece)
			if p.Offset == 0 {
				continue
			}
			want := packettest.Fields(t, piece)
			want.Src = "203.0.113.9"
			packet.RewriteAddresses(piece, &p, packettest.Addr("203.0.113.9"), p.Dst, packet.KeepTTL)
			packettest.Check(t, piece)
			if diff := cmp.Diff(want, packettest.Fields(t, piece)); diff != "" {
				t.Errorf("%s: %s", c.name, diff)
			}
		}
	}
}

func TestAddressesOnly(t *testing.T) {
	for n := range 256 {
		want := n == 47 || n == 132 || n == 136
		if got := packet.AddressesOnly(packet.Protocol(n)); got != want {
			t.Errorf("protocol %d: %t", n, got)
		}
	}
}

// TestRewriteAddressesOfRunts: too short for a checksum, or cut off in it.
func TestRewriteAddressesOfRunts(t *testing.T) {
	for n := range 9 {
		b := raw(packet.UDPLite, n)
		p := decode(t, b)
		packet.RewriteAddresses(b, &p, 1, 2, packet.TakeTTL)
		if err := packettest.Verify(b); err != nil || n < 8 && packettest.Fields(t, b).Payload != string(make([]byte, n)) {
			t.Errorf("%d bytes: %v in % x", n, err, b)
		}
	}
}
