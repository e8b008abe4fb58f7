package packet_test

import (
	"slices"
	"testing"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// FuzzQuote translates errors there and back: what verified does so afterwards, and
// back it is what it was.
func FuzzQuote(f *testing.F) {
	for _, c := range quotables {
		f.Add(about(c.b, 3, 4), uint32(c.was.Src), uint32(c.was.Dst), c.was.SrcPort, c.was.DstPort)
		f.Add(about(c.b[:decodedL4(c.b)+8], 11, 0, packettest.RouterAlert), uint32(c.was.Src), uint32(c.was.Dst), c.was.SrcPort, c.was.DstPort)
	}
	f.Fuzz(func(t *testing.T, b []byte, src, dst uint32, srcPort, dstPort uint16) {
		b, p, q, ok := errorIn(b)
		if !ok || !q.Kind.Translatable() {
			return
		}
		before := packettest.Verify(b)
		to := translation(packet.Parsed{Tuple: q.Tuple, Kind: q.Kind}, src, dst, srcPort, dstPort)
		there := slices.Clone(b)
		packet.RewriteError(there, &p, &q, 7, to.Src, to, packet.KeepTTL)
		if err := packettest.Verify(there); before == nil && err != nil {
			t.Fatalf("% x\nbecame % x: %v", b, there, err)
		}
		var again packet.Parsed
		var quote packet.Quote
		if packet.Decode(there, &again) != packet.FaultNone || packet.DecodeQuote(there, &again, &quote) != packet.FaultNone || quote.Tuple != to || quote.Kind != q.Kind {
			t.Fatalf("% x\nbecame % x, about %v and not %v", b, there, quote.Tuple, to)
		}
		if again.Src != 7 || again.Dst != to.Src {
			t.Fatalf("it goes from %v to %v", again.Src, again.Dst)
		}
		packet.RewriteError(there, &again, &quote, p.Src, p.Dst, q.Tuple, packet.KeepTTL)
		sameError(t, q.String(), there, b)
	})
}

func decodedL4(b []byte) int {
	var p packet.Parsed
	packet.Decode(b, &p)
	return p.L4
}

// errorIn makes of what the fuzzer has found an ICMP error with the checksums right
// that it can't guess.
func errorIn(b []byte) (fixed []byte, p packet.Parsed, q packet.Quote, ok bool) {
	if len(b) < 48 {
		return nil, p, q, false
	}
	b = slices.Clone(b)
	packettest.Fix(b)
	if packet.Decode(b, &p) != packet.FaultNone || p.Kind != packet.KindICMPError || p.Total < p.L4+28 {
		return nil, p, q, false
	}
	b = b[:p.Total]
	inner := b[p.L4+8:]
	if hl := int(inner[0]&0xf) * 4; hl >= 20 && hl <= len(inner) {
		header := slices.Clone(inner[:hl])
		packettest.Fix(header)
		copy(inner, header)
	}
	packettest.Fix(b)
	return b, p, q, packet.DecodeQuote(b, &p, &q) == packet.FaultNone
}
