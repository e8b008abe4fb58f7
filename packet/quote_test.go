package packet_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// quotables are packets as they left the gateway, and what they were before: what
// an error about the one has to become.
var quotables = []struct {
	name string
	b    []byte
	was  packet.Tuple
}{
	{"TCP", segment, packettest.Tuple(packet.TCP, "172.16.5.5:51000", "198.51.100.7:443")},
	{"TCP, the other end", segment, packettest.Tuple(packet.TCP, "10.0.0.10:40000", "203.0.113.6:80")},
	{"TCP, both ends", segment, packettest.Tuple(packet.TCP, "10.0.0.11:1", "203.0.113.6:65535")},
	{"TCP, as it was", segment, packettest.Tuple(packet.TCP, "10.0.0.10:40000", "198.51.100.7:443")},
	{"UDP behind IP options", datagram, packettest.Tuple(packet.UDP, "172.16.5.5:51000", "198.51.100.7:53")},
	{"UDP without checksum", unsummed, packettest.Tuple(packet.UDP, "172.16.5.5:51000", "198.51.100.7:53")},
	{"UDP that was zero", zeroSummed(), packettest.Tuple(packet.UDP, "10.0.0.10:5353", "198.51.100.7:53")},
	{"UDP that becomes zero", datagram, decodedTuple(zeroSummed())},
	{"echo request", request, packettest.Tuple(packet.ICMP, "172.16.5.5:9", "198.51.100.7")},
	{"echo reply", reply, packettest.Tuple(packet.ICMP, "198.51.100.7", "10.0.0.10:77")},
	{"odd length", packettest.UDP(packettest.Datagram{Src: "203.0.113.5:1024", Dst: "198.51.100.7:53", Payload: "odd"}),
		packettest.Tuple(packet.UDP, "10.0.0.10:5353", "198.51.100.7:53")},
}

// zeroSummed is datagram with the source port that makes its checksum zero.
func zeroSummed() []byte {
	b := slices.Clone(datagram)
	p := packet.Parsed{}
	packet.Decode(b, &p)
	b = reference(b, p, packettest.Tuple(packet.UDP, "203.0.113.5:0", "198.51.100.7:53"), packet.KeepTTL)
	packet.Decode(b, &p)
	p.Tuple.SrcPort = sumAt(b, p.L4+6)
	return reference(b, p, p.Tuple, packet.KeepTTL)
}

func decodedTuple(b []byte) packet.Tuple {
	var p packet.Parsed
	packet.Decode(b, &p)
	return p.Tuple
}

// about is an error that a router sends about b.
func about(b []byte, typ, code uint8, opts ...packettest.Option) []byte {
	return packettest.ICMPError(packettest.Error{
		Src: "192.0.2.1", Type: typ, Code: code, MTU: 1400, Quote: b, IP: packettest.IP{ID: 3, Options: opts},
	})
}

// readdressed is the error that RewriteError has to make of about(b, …), computed
// from scratch: about the packet as it was, to its sender.
func readdressed(b []byte, src string, typ, code uint8, opts ...packettest.Option) []byte {
	return packettest.ICMPError(packettest.Error{
		Src: src, Type: typ, Code: code, MTU: 1400, Quote: b, IP: packettest.IP{TTL: 63, ID: 3, Options: opts},
	})
}

func translateError(t *testing.T, b []byte, src packet.Addr, was packet.Tuple, hop packet.Hop) []byte {
	t.Helper()
	b = slices.Clone(b)
	p := decode(t, b)
	var q packet.Quote
	if fault := packet.DecodeQuote(b, &p, &q); fault != packet.FaultNone || !q.Kind.Translatable() {
		t.Fatalf("fault %d, kind %d in %s", fault, q.Kind, packettest.Describe(b))
	}
	packet.RewriteError(b, &p, &q, src, was.Src, was, hop)
	return b
}

// TestRewriteError quotes each packet cut at every length that still tells its flow,
// in errors of several types, with and without options of the outer header.
func TestRewriteError(t *testing.T) {
	for _, c := range quotables {
		p := decode(t, c.b)
		was := reference(c.b, p, c.was, packet.KeepTTL)
		for n := p.L4 + least(p.Kind); n <= len(c.b); n++ {
			for _, opts := range [][]packettest.Option{nil, {packettest.RouterAlert}} {
				for _, typ := range []uint8{3, 11} {
					sent := about(c.b[:n], typ, 4, opts...)
					got := translateError(t, sent, packettest.Addr("203.0.113.5"), c.was, packet.TakeTTL)
					sameError(t, c.name, got, readdressed(quoting(was, c.b, p.L4, n), "203.0.113.5", typ, 4, opts...))
					if n >= p.L4+8 {
						packettest.Check(t, got)
					}
				}
			}
		}
	}
}

// least is how much of a transport header says what flow it is of, in bytes.
func least(k packet.Kind) int {
	if k == packet.KindTCP || k == packet.KindUDP {
		return 4
	}
	return 6
}

// quoting is the first n bytes of was, but for half a checksum: that can't be
// translated and stays as it is in now.
func quoting(was, now []byte, l4, n int) []byte {
	q := slices.Clone(was[:n])
	if half := l4 + sumPlace[was[9]]; n == half+1 {
		q[half] = now[half]
	}
	return q
}

// sumPlace is where in its header a protocol has its checksum.
var sumPlace = map[byte]int{byte(packet.TCP): 16, byte(packet.UDP): 6, byte(packet.ICMP): 2}

// sameError compares bytes, but for which of the two zeros a checksum is: in UDP
// alone they are not the same.
func sameError(t *testing.T, what string, got, want []byte) {
	t.Helper()
	l4 := int(want[0]&0xf) * 4
	inner := l4 + 8
	zeros := []int{l4 + 2, inner + 10}
	if proto := want[inner+9]; proto != byte(packet.UDP) && sumPlace[proto] != 0 {
		zeros = append(zeros, inner+int(want[inner]&0xf)*4+sumPlace[proto])
	}
	got, want = slices.Clone(got), slices.Clone(want)
	for _, b := range [][]byte{got, want} {
		for _, at := range zeros {
			if at+2 <= len(b) && sumAt(b, at) == 0xffff {
				b[at], b[at+1] = 0, 0
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  % x\nwant % x", what, got, want)
	}
}

// TestRewriteErrorThereAndBack undoes it, whatever the checksums of the quoted
// packet: one that was wrong stays as wrong as it was.
func TestRewriteErrorThereAndBack(t *testing.T) {
	for _, c := range quotables {
		now := decode(t, c.b)
		for at := now.L4; at < len(c.b); at++ {
			sent := about(damage(c.b, at), 3, 1)
			p := decode(t, sent)
			var q packet.Quote
			if packet.DecodeQuote(sent, &p, &q); q.Kind != now.Kind {
				continue
			}
			there := translateError(t, sent, 77, c.was, packet.KeepTTL)
			packettest.Check(t, there)
			back := translateError(t, there, packettest.Addr("192.0.2.1"), q.Tuple, packet.KeepTTL)
			sameError(t, c.name, back, sent)
		}
	}
}

// TestDecodeQuoteCut cuts the quoted packet at every length from nothing on.
func TestDecodeQuoteCut(t *testing.T) {
	for _, c := range quotables {
		whole := decode(t, c.b)
		for n := range len(c.b) + 1 {
			b := packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Dst: "203.0.113.5", Type: 3, Quote: c.b[:n]})
			p := decode(t, b)
			var q packet.Quote
			fault := packet.DecodeQuote(b, &p, &q)
			switch tells := n >= whole.L4+least(whole.Kind); {
			case n < whole.L4 && fault != packet.FaultTruncated:
				t.Errorf("%s, %d bytes: fault %d", c.name, n, fault)
			case n >= whole.L4 && fault != packet.FaultNone:
				t.Errorf("%s, %d bytes: fault %d", c.name, n, fault)
			case n >= whole.L4 && tells && (q.Kind != whole.Kind || q.Tuple != whole.Tuple):
				t.Errorf("%s, %d bytes: kind %d of %v, want %d of %v", c.name, n, q.Kind, q.Tuple, whole.Kind, whole.Tuple)
			case n >= whole.L4 && !tells && (q.Kind != packet.KindOther || q.Src != whole.Src || q.Dst != whole.Dst):
				t.Errorf("%s, %d bytes: kind %d of %v", c.name, n, q.Kind, q.Tuple)
			}
		}
	}
}

func TestDecodeQuoteFaults(t *testing.T) {
	inner := 28
	for _, c := range []struct {
		name string
		b    []byte
		want packet.Fault
	}{
		{"ICMP checksum", damage(about(segment, 3, 1), 22), packet.FaultChecksum},
		{"last byte of the quote", damage(about(segment, 3, 1), 28+len(segment)-1), packet.FaultChecksum},
		{"checksum of the quoted header", about(damage(segment, 8), 3, 1), packet.FaultChecksum},
		{"checksum of the quoted header with options", about(damage(datagram, 20), 3, 1), packet.FaultChecksum},
		{"quoted IPv6", edit(about(segment, 3, 1), inner, 0x65), packet.FaultVersion},
		{"quoted header of 16 bytes", edit(about(segment, 3, 1), inner, 0x44), packet.FaultHeader},
		{"quoted header longer than the quote", edit(about(segment[:20], 3, 1), inner, 0x46), packet.FaultTruncated},
	} {
		p := decode(t, c.b)
		var q packet.Quote
		if got := packet.DecodeQuote(c.b, &p, &q); got != c.want {
			t.Errorf("%s: fault %d, want %d", c.name, got, c.want)
		}
	}
}

// TestDecodeQuoteOther: quoted packets whose flow can't be told.
func TestDecodeQuoteOther(t *testing.T) {
	for name, b := range map[string][]byte{
		"later fragment": packettest.Fragments(datagram, 32)[1],
		"error":          unreachable,
		"timestamp":      message(13),
		"GRE":            packettest.IPv4(packettest.Packet{Src: "10.0.0.10", Dst: "10.0.0.11", Proto: 47, Payload: "12345678"}),
	} {
		outer := about(b, 3, 1)
		p := decode(t, outer)
		var q packet.Quote
		if fault := packet.DecodeQuote(outer, &p, &q); fault != packet.FaultNone || q.Kind != packet.KindOther || q.SrcPort|q.DstPort != 0 {
			t.Errorf("%s: fault %d, kind %d, %v", name, fault, q.Kind, q.Tuple)
		}
	}
}

// TestRewriteErrorAboutAFirstFragment: its checksum is its datagram's.
func TestRewriteErrorAboutAFirstFragment(t *testing.T) {
	to := packettest.Tuple(packet.UDP, "172.16.5.5:51000", "198.51.100.7:53")
	was := packettest.Fragments(reference(datagram, decode(t, datagram), to, packet.KeepTTL), 32)[0]
	got := translateError(t, about(packettest.Fragments(datagram, 32)[0], 11, 1), packettest.Addr("192.0.2.1"), to, packet.TakeTTL)
	if diff := cmp.Diff(readdressed(was, "192.0.2.1", 11, 1), got); diff != "" {
		t.Error(diff)
	}
}
