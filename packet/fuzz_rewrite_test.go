package packet_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// FuzzRewrite compares with writing the fields and adding all up again, for the
// packet whole and with a partial checksum, and translates back.
func FuzzRewrite(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b, uint32(0xcb007105), uint32(0xc6336407), uint16(1024), uint16(443), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, src, dst uint32, srcPort, dstPort uint16, takeTTL bool) {
		if len(b) < 20 {
			return
		}
		b = slices.Clone(b)
		packettest.Fix(b)
		var p packet.Parsed
		if packet.Decode(b, &p) != packet.FaultNone || !p.Kind.Translatable() || takeTTL && p.TTL == 0 {
			return
		}
		if b = b[:p.Total]; p.Kind == packet.KindUDP {
			binary.BigEndian.PutUint16(b[p.L4+4:], uint16(len(b)-p.L4)) // Fix and devices go by the packet's length
		}
		packettest.Fix(b)
		to := translation(p, src, dst, srcPort, dstPort)
		want := reference(b, p, to, packet.Hop(takeTTL))
		got := rewrite(t, b, to, false, packet.Hop(takeTTL))
		same(t, "translated", got, want)
		same(t, "translated back", rewrite(t, got, p.Tuple, false, packet.KeepTTL), reference(b, p, p.Tuple, packet.Hop(takeTTL)))
		if p.Kind == packet.KindTCP || p.Kind == packet.KindUDP && sumAt(b, p.L4+6) != 0 {
			partial := rewrite(t, packettest.Partial(b), to, true, packet.Hop(takeTTL))
			same(t, "partial", partial, packettest.Partial(want))
			same(t, "partial and completed", packettest.Complete(partial), want)
		}
	})
}

// translation is the tuple to translate p's into: echo has one identifier.
func translation(p packet.Parsed, src, dst uint32, srcPort, dstPort uint16) packet.Tuple {
	to := packet.Tuple{Src: packet.Addr(src), Dst: packet.Addr(dst), SrcPort: srcPort, DstPort: dstPort, Proto: p.Proto}
	switch p.Kind {
	case packet.KindEchoRequest:
		to.DstPort = 0
	case packet.KindEchoReply:
		to.SrcPort = 0
	}
	return to
}

// reference writes the fields where the RFCs draw them and computes the
// checksums of the result from scratch.
func reference(b []byte, p packet.Parsed, to packet.Tuple, hop packet.Hop) []byte {
	b = slices.Clone(b)
	if hop == packet.TakeTTL {
		b[8]--
	}
	src, dst := to.Src.Netip().As4(), to.Dst.Netip().As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	switch l4 := b[p.L4:]; p.Proto {
	case packet.ICMP:
		binary.BigEndian.PutUint16(l4[4:], to.SrcPort|to.DstPort)
	default:
		binary.BigEndian.PutUint16(l4[0:], to.SrcPort)
		binary.BigEndian.PutUint16(l4[2:], to.DstPort)
	}
	packettest.Fix(b)
	return b
}

// same compares bytes. Where the reference has zero for an ICMP checksum, the
// message isn't zero all over and the other zero is as good.
func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	at := int(got[0]&0xf)*4 + 2
	if got[9] == byte(packet.ICMP) && sumAt(got, at) == 0xffff && sumAt(want, at) == 0 {
		want = slices.Clone(want)
		want[at], want[at+1] = 0xff, 0xff
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  % x %s\nwant % x", what, got, packettest.Describe(got), want)
	}
}
