package packet_test

import (
	"slices"
	"testing"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// Ones' complement has two zeros. These are the places where it matters which
// of them stands in the packet.

// TestUDPComputedZero looks for the port that makes the sum come out as zero,
// which must be written as 0xffff (RFC 768).
func TestUDPComputedZero(t *testing.T) {
	to := packettest.Tuple(packet.UDP, "203.0.113.5:0", "198.51.100.7:53")
	other := rewrite(t, datagram, to, false, packet.KeepTTL)
	to.SrcPort = sumAt(other, 24+6) // the checksum without a port is the port that is missing
	for _, partial := range []bool{false, true} {
		b := datagram
		if partial {
			b = packettest.Partial(b)
		}
		got := rewrite(t, b, to, partial, packet.KeepTTL)
		if partial {
			got = packettest.Complete(got)
		}
		packettest.Check(t, got)
		if sumAt(got, 24+6) != 0xffff {
			t.Errorf("partial %t: checksum %#04x, want 0xffff: %s", partial, sumAt(got, 24+6), packettest.Describe(got))
		}
		back := rewrite(t, got, decode(t, datagram).Tuple, false, packet.KeepTTL)
		if !slices.Equal(back, datagram) {
			t.Errorf("partial %t: back it is % x, was % x", partial, back, datagram)
		}
	}
}

// TestTCPComputedZero: TCP has no such rule, zero is a checksum as any other.
func TestTCPComputedZero(t *testing.T) {
	to := packettest.Tuple(packet.TCP, "203.0.113.5:0", "198.51.100.7:443")
	other := rewrite(t, segment, to, false, packet.KeepTTL)
	to.SrcPort = sumAt(other, 20+16)
	got := rewrite(t, segment, to, false, packet.KeepTTL)
	packettest.Check(t, got)
	if sumAt(got, 20+16) != 0 {
		t.Errorf("checksum %#04x, want 0", sumAt(got, 20+16))
	}
	back := rewrite(t, got, decode(t, segment).Tuple, false, packet.KeepTTL)
	if !slices.Equal(back, segment) {
		t.Errorf("back it is % x, was % x", back, segment)
	}
}

// TestUDPZeroStaysZero through every translation, with partial or not told apart
// by the frame's own flag and never by the field.
func TestUDPZeroStaysZero(t *testing.T) {
	got := rewrite(t, unsummed, packettest.Tuple(packet.UDP, "203.0.113.5:1", "198.51.100.7:53"), false, packet.TakeTTL)
	if sumAt(got, 20+6) != 0 {
		t.Errorf("checksum %#04x, want none", sumAt(got, 20+6))
	}
}

// TestEchoAllZero: a reply with identifier 0, sequence number 0 and nothing or
// zeros in it is zero all over, and adds up to 0xffff only with that checksum.
func TestEchoAllZero(t *testing.T) {
	for _, payload := range []string{"", "\x00", "\x00\x00\x00\x00"} {
		b := packettest.EchoReply(packettest.Echo{
			Src: "198.51.100.7", Dst: "203.0.113.5", Ident: 1024, Payload: payload,
		})
		there := rewrite(t, b, packettest.Tuple(packet.ICMP, "198.51.100.7", "10.0.0.10"), false, packet.TakeTTL)
		packettest.Check(t, there)
		back := rewrite(t, there, packettest.Tuple(packet.ICMP, "198.51.100.7", "203.0.113.5:1024"), false, packet.TakeTTL)
		packettest.Check(t, back)

		own := packettest.EchoRequest(packettest.Echo{Src: "198.51.100.7", Dst: "203.0.113.5", Payload: payload})
		p := decode(t, own)
		packet.EchoReply(own, &p)
		packettest.Check(t, own)
	}
}

// TestNegativeZeroIn takes packets whose sender wrote 0xffff where the sum says
// zero: the same number, and what a receiver accepts.
func TestNegativeZeroIn(t *testing.T) {
	b := packettest.UDP(packettest.Datagram{Src: "10.0.0.10:1", Dst: "198.51.100.7:53"})
	b = edit(edit(b, 4, 0), 5, 0)
	id := sumAt(b, 10)
	b = edit(edit(b, 4, byte(id>>8)), 5, byte(id)) // now the header's checksum is zero
	if sumAt(b, 10) != 0 {
		t.Fatalf("header checksum %#04x, want 0", sumAt(b, 10))
	}
	b[10], b[11] = 0xff, 0xff
	packettest.Check(t, b)
	for _, hop := range []packet.Hop{packet.KeepTTL, packet.TakeTTL} {
		packettest.Check(t, rewrite(t, b, decode(t, b).Tuple, false, hop))
		packettest.Check(t, rewrite(t, b, packettest.Tuple(packet.UDP, "203.0.113.5:1", "198.51.100.7:53"), false, hop))
	}
}

func sumAt(b []byte, at int) uint16 { return uint16(b[at])<<8 | uint16(b[at+1]) }
