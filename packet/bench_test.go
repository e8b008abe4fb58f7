package packet_test

import (
	"slices"
	"testing"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

var benchmarked = []struct {
	name string
	b    []byte
	to   packet.Tuple
}{
	{"TCP", segment, packettest.Tuple(packet.TCP, "203.0.113.5:1024", "198.51.100.7:443")},
	{"UDP", datagram, packettest.Tuple(packet.UDP, "203.0.113.5:1024", "198.51.100.7:53")},
	{"Echo", request, packettest.Tuple(packet.ICMP, "203.0.113.5:1024", "198.51.100.7")},
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchmarked {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var p packet.Parsed
			for b.Loop() {
				if packet.Decode(c.b, &p) != packet.FaultNone {
					b.Fatal("fault")
				}
			}
		})
	}
}

// BenchmarkApply translates the same bytes again and again: their checksums go
// wrong, which costs nothing. UDP and echo differ from TCP by what follows a zero.
func BenchmarkApply(b *testing.B) {
	for _, c := range benchmarked {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			pkt := slices.Clone(c.b)
			var p packet.Parsed
			packet.Decode(pkt, &p)
			r := packet.NewRewrite(p.Tuple, c.to)
			for b.Loop() {
				r.Apply(pkt, &p, false, packet.TakeTTL)
			}
		})
	}
}

func BenchmarkPutSegment(b *testing.B) {
	b.ReportAllocs()
	var out [packet.SegmentLen]byte
	s := packet.Segment{Tuple: packettest.Tuple(packet.TCP, "198.51.100.7:443", "10.0.0.10:40000"), Flags: packet.RST}
	for b.Loop() {
		packet.PutSegment(out[:], &s)
	}
}
