package packet_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// Packets that several tests take; clone before writing.
var (
	segment = packettest.TCP(packettest.Segment{
		Src: "10.0.0.10:40000", Dst: "198.51.100.7:443",
		Seq: 0xfffffff0, Ack: 2000, Flags: packet.PSH | packet.ACK, Window: 512,
		Options: []packettest.Option{packettest.Timestamps(1, 2)}, Payload: "hello", IP: packettest.IP{TTL: 63, ID: 9},
	})
	datagram = packettest.UDP(packettest.Datagram{
		Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Payload: "question",
		IP: packettest.IP{Options: []packettest.Option{packettest.RouterAlert}},
	})
	unsummed = packettest.UDP(packettest.Datagram{
		Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", NoChecksum: true, Payload: "question",
	})
	request = packettest.EchoRequest(packettest.Echo{
		Src: "10.0.0.10", Dst: "198.51.100.7", Ident: 77, Seq: 1, Payload: "ping",
	})
	reply = packettest.EchoReply(packettest.Echo{
		Src: "198.51.100.7", Dst: "203.0.113.5", Ident: 1024, Seq: 1, Payload: "ping",
	})
	unreachable = packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Code: 1, Quote: segment[:28]})
)

var (
	fragments = packettest.Fragments(datagram, 32)
	icmp      = packettest.Tuple(packet.ICMP, "192.0.2.1", "10.0.0.10")
)

var decoded = []struct {
	name string
	b    []byte
	want packet.Parsed
}{
	{"TCP", segment, packet.Parsed{
		Tuple: packettest.Tuple(packet.TCP, "10.0.0.10:40000", "198.51.100.7:443"), Kind: packet.KindTCP,
		TTL: 63, ID: 9, Flags: packet.PSH | packet.ACK, L4: 20, Total: 57, Payload: 5,
		Seq: 0xfffffff0, Ack: 2000, Window: 512, WScale: -1,
	}},
	{"UDP behind IP options", datagram, packet.Parsed{
		Tuple: packettest.Tuple(packet.UDP, "10.0.0.10:5353", "198.51.100.7:53"), Kind: packet.KindUDP,
		TTL: 64, L4: 24, Total: 40, Payload: 8, WScale: -1,
	}},
	{"echo request", request, packet.Parsed{
		Tuple: packettest.Tuple(packet.ICMP, "10.0.0.10:77", "198.51.100.7"), Kind: packet.KindEchoRequest,
		TTL: 64, L4: 20, Total: 32, Payload: 4, WScale: -1,
	}},
	{"echo reply", reply, packet.Parsed{
		Tuple: packettest.Tuple(packet.ICMP, "198.51.100.7", "203.0.113.5:1024"), Kind: packet.KindEchoReply,
		TTL: 64, L4: 20, Total: 32, Payload: 4, WScale: -1,
	}},
	{"ICMP error", unreachable, packet.Parsed{
		Tuple: icmp, Kind: packet.KindICMPError, TTL: 64, L4: 20, Total: 56, Payload: 28, WScale: -1,
	}},
	{"ICMP timestamp request", message(13), packet.Parsed{
		Tuple: icmp, Kind: packet.KindOther, TTL: 64, L4: 20, Total: 40, Payload: 12, WScale: -1,
	}},
	{"GRE", packettest.IPv4(packettest.Packet{Src: "192.0.2.1", Dst: "10.0.0.10", Proto: 47, Payload: "gre"}), packet.Parsed{
		Tuple: packettest.Tuple(47, "192.0.2.1", "10.0.0.10"), Kind: packet.KindOther,
		TTL: 64, L4: 20, Total: 23, Payload: 3, WScale: -1,
	}},
	{"first fragment", fragments[0], packet.Parsed{
		Tuple: packettest.Tuple(packet.UDP, "10.0.0.10:5353", "198.51.100.7:53"), Kind: packet.KindUDP, More: true,
		TTL: 64, L4: 24, Total: 32, WScale: -1,
	}},
	{"last fragment", fragments[1], packet.Parsed{
		Tuple: packettest.Tuple(packet.UDP, "10.0.0.10", "198.51.100.7"), Kind: packet.KindFragment, Offset: 8,
		TTL: 64, L4: 24, Total: 32, Payload: 8, WScale: -1,
	}},
	{"fragment in the middle", edit(edit(fragments[1], 6, 0x20), 5, 7), packet.Parsed{
		Tuple: packettest.Tuple(packet.UDP, "10.0.0.10", "198.51.100.7"), Kind: packet.KindFragment, Offset: 8, More: true,
		TTL: 64, ID: 7, L4: 24, Total: 32, Payload: 8, WScale: -1,
	}},
	{"first fragment of GRE", packettest.Fragments(packettest.IPv4(packettest.Packet{Src: "192.0.2.1", Dst: "10.0.0.10", Proto: 47, Payload: "gre, and more"}), 28)[0], packet.Parsed{
		Tuple: packettest.Tuple(47, "192.0.2.1", "10.0.0.10"), Kind: packet.KindOther, More: true,
		TTL: 64, L4: 20, Total: 28, Payload: 8, WScale: -1,
	}},
	{"SYN that must not be fragmented", syn(packettest.MSS(1460)), packet.Parsed{
		Tuple: packettest.Tuple(packet.TCP, "10.0.0.10:40000", "198.51.100.7:443"), Kind: packet.KindTCP,
		TTL: 64, DF: true, Flags: packet.SYN, L4: 20, Total: 44, Window: 64240, WScale: -1, MSSAt: 42,
	}},
}

func TestDecode(t *testing.T) {
	for _, c := range decoded {
		t.Run(c.name, func(t *testing.T) {
			padded := append(slices.Clone(c.b), "link padding"...)
			p := packet.Parsed{Seq: 1, Window: 2, WScale: 3, Kind: 99} // what an earlier packet left
			if fault := packet.Decode(padded, &p); fault != packet.FaultNone {
				t.Fatalf("fault %v in %s", fault, packettest.Describe(c.b))
			}
			if diff := cmp.Diff(c.want, p); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// message is an ICMP message of a type with 12 bytes behind its header.
func message(typ uint8) []byte {
	return packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Dst: "10.0.0.10", Type: typ, Quote: make([]byte, 12)})
}

func TestDecodeICMPErrorTypes(t *testing.T) {
	errors := []uint8{3, 11, 12} // RFC 792; 4 is deprecated (RFC 6633), 5 is the next hop's business
	for n := range 256 {
		typ := uint8(n)
		var p packet.Parsed
		fault := packet.Decode(message(typ), &p)
		if got, want := p.Kind == packet.KindICMPError, slices.Contains(errors, typ); fault != packet.FaultNone || got != want {
			t.Errorf("type %d: kind %d, fault %d", typ, p.Kind, fault)
		}
	}
}

// syn is a SYN with those options.
func syn(opts ...packettest.Option) []byte {
	return packettest.TCP(packettest.Segment{
		Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Flags: packet.SYN, Options: opts, IP: packettest.IP{DF: true},
	})
}

// edit returns a copy of b with one byte changed and the checksums right again.
func edit(b []byte, at int, v byte) []byte {
	b = slices.Clone(b)
	b[at] = v
	packettest.Fix(b)
	return b
}

// damage returns a copy of b with one byte changed and nothing else.
func damage(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at]++
	return b
}

// raw is a packet with n zeros for a payload.
func raw(proto packet.Protocol, n int) []byte {
	return packettest.IPv4(packettest.Packet{
		Src: "10.0.0.10", Dst: "198.51.100.7", Proto: proto, Payload: string(make([]byte, n)),
	})
}

var faulty = []struct {
	name string
	b    []byte
	want packet.Fault
}{
	{"nothing", nil, packet.FaultTruncated},
	{"19 bytes", segment[:19], packet.FaultTruncated},
	{"header only", segment[:20], packet.FaultTruncated},
	{"options missing", datagram[:20], packet.FaultTruncated},
	{"last byte missing", segment[:len(segment)-1], packet.FaultTruncated},
	{"IPv6", edit(segment, 0, 0x65), packet.FaultVersion},
	{"version 0", edit(segment, 0, 0x05), packet.FaultVersion},
	{"header length 16", edit(segment, 0, 0x44), packet.FaultHeader},
	{"header length 0", edit(segment, 0, 0x40), packet.FaultHeader},
	{"total length 19", edit(unsummed[:20], 3, 19), packet.FaultHeader},
	{"total length 0", edit(unsummed[:20], 3, 0), packet.FaultHeader},
	{"total length within the options", edit(datagram, 3, 23), packet.FaultHeader},
	{"header checksum", damage(segment, 8), packet.FaultChecksum},
	{"header checksum of an empty packet", damage(raw(47, 0), 11), packet.FaultChecksum},
	{"empty TCP", raw(packet.TCP, 0), packet.FaultTransport},
	{"TCP of 19 bytes", raw(packet.TCP, 19), packet.FaultTransport},
	{"TCP data offset 0", raw(packet.TCP, 20), packet.FaultTransport},
	{"TCP data offset 16", edit(segment, 32, 4<<4), packet.FaultTransport},
	{"TCP data offset past the end", edit(segment, 32, 10<<4), packet.FaultTransport},
	{"UDP of 7 bytes", raw(packet.UDP, 7), packet.FaultTransport},
	{"UDP length 0", raw(packet.UDP, 8), packet.FaultTransport},
	{"UDP length 7", edit(unsummed, 25, 7), packet.FaultTransport},
	{"UDP length past the end", edit(unsummed, 25, 17), packet.FaultTransport},
	{"ICMP of 7 bytes", raw(packet.ICMP, 7), packet.FaultTransport},
	{"loose source route", optional(packettest.Option{131, 7, 4, 192, 0, 2, 1}), packet.FaultSourceRoute},
	{"strict source route", optional(packettest.Option{137, 3, 4}), packet.FaultSourceRoute},
	{"source route behind others", optional(packettest.RouterAlert, packettest.NOP, packettest.Option{131, 3, 4}), packet.FaultSourceRoute},
	{"source route of a fragment", packettest.Fragments(optional(packettest.Option{131, 3, 4}), 32)[1], packet.FaultSourceRoute},
}

// optional is a datagram with IP options.
func optional(opts ...packettest.Option) []byte {
	return packettest.UDP(packettest.Datagram{Src: "10.0.0.10:1", Dst: "198.51.100.7:2", Payload: "twelve bytes", IP: packettest.IP{Options: opts}})
}

func TestDecodeFaults(t *testing.T) {
	for _, c := range faulty {
		var p packet.Parsed
		if got := packet.Decode(c.b, &p); got != c.want {
			t.Errorf("%s: fault %d, want %d", c.name, got, c.want)
		}
	}
}

// TestDecodeLimits has what is odd but fits.
func TestDecodeLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		b       []byte
		payload int
	}{
		{"no payload behind the TCP options", edit(segment, 32, 9<<4), 1},
		{"UDP shorter than its packet", edit(unsummed, 25, 8), 0},
		{"ICMP of 8 bytes", packettest.EchoReply(packettest.Echo{Src: "10.0.0.10", Dst: "10.0.0.11"}), 0},
		{"no payload at all", packettest.IPv4(packettest.Packet{Src: "10.0.0.10", Dst: "10.0.0.11", Proto: 47}), 0},
		{"reserved bit and don't-fragment", edit(unsummed, 6, 0xc0), 8},
		{"longest packet", packettest.UDP(packettest.Datagram{
			Src: "10.0.0.10:1", Dst: "10.0.0.11:1", Payload: string(make([]byte, 65535-28)),
		}), 65535 - 28},
		{"record route", optional(packettest.Option{7, 7, 4, 0, 0, 0, 0}), 12},
		{"source route behind the end of options", edit(optional(packettest.Option{1, 0, 131, 3}), 20, 0), 12},
		{"source route in the value of an option", optional(packettest.Option{68, 5, 131, 137, 131}), 12},
		{"option of an impossible length", edit(optional(packettest.RouterAlert), 21, 99), 12},
		{"longest headers", packettest.TCP(packettest.Segment{
			Src: "10.0.0.10:1", Dst: "10.0.0.11:1", Options: []packettest.Option{make([]byte, 40)},
			IP: packettest.IP{Options: slices.Repeat([]packettest.Option{packettest.NOP}, 40)},
		}), 0},
	} {
		var p packet.Parsed
		if fault := packet.Decode(c.b, &p); fault != packet.FaultNone || p.Payload != c.payload || p.Kind == packet.KindFragment {
			t.Errorf("%s: fault %d, kind %d, payload %d, want %d", c.name, fault, p.Kind, p.Payload, c.payload)
		}
	}
}

func TestTranslatable(t *testing.T) {
	for k := packet.KindOther; k <= packet.KindFragment; k++ {
		want := k != packet.KindOther && k != packet.KindICMPError && k != packet.KindFragment
		if k.Translatable() != want {
			t.Errorf("kind %d: %t, want %t", k, !want, want)
		}
	}
}

func TestParsedLen(t *testing.T) {
	for _, c := range []struct {
		flags uint8
		want  uint32
	}{
		{packet.ACK, 5},
		{packet.SYN, 6},
		{packet.FIN | packet.ACK, 6},
		{packet.SYN | packet.FIN, 7},
		{packet.RST | packet.PSH, 5},
	} {
		p := packet.Parsed{Payload: 5, Flags: c.flags}
		if got := p.Len(); got != c.want {
			t.Errorf("flags %#x: %d, want %d", c.flags, got, c.want)
		}
	}
}
