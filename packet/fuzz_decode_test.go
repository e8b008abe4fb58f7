package packet_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// Built packets are seeds here; testdata/fuzz holds those that took thought and
// those that found a bug, each under a name that says which.
func seeds() [][]byte {
	return [][]byte{
		segment, datagram, unsummed, request, reply, unreachable,
		packettest.Fragments(datagram, 32)[0], packettest.Fragments(datagram, 32)[1],
		packettest.Fragments(segment, 44)[0], syn(packettest.NOP, packettest.MSS(1460), shift7),
		optional(packettest.RouterAlert, packettest.Option{131, 3, 4}),
		packettest.IPv4(packettest.Packet{Src: "10.0.0.10", Dst: "198.51.100.7", Proto: 47, Payload: "gre"}),
	}
}

// FuzzDecode compares with gopacket's layers and wants every offset in bounds.
func FuzzDecode(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got packet.Parsed
		fault := packet.Decode(b, &got)
		if fault == packet.FaultChecksum { // as good as none: the fuzzer can't guess it
			b = slices.Clone(b)
			packettest.Fix(b[:int(b[0]&0xf)*4])
			fault = packet.Decode(b, &got)
		}
		if fault >= packet.FaultTransport || fault == packet.FaultNone {
			if routed := fault == packet.FaultSourceRoute; routed != choosesWay(b) {
				t.Errorf("fault %d for % x", fault, b)
			}
		}
		if fault != packet.FaultNone {
			return
		}
		compare(t, b, got)
		var padded packet.Parsed
		if packet.Decode(append(slices.Clone(b), 0xaa), &padded) != packet.FaultNone || padded != got {
			t.Errorf("with link padding %+v, without %+v", padded, got)
		}
	})
}

// compare rebuilds what Decode should have found from gopacket's layers, whose
// complaints about options are no concern of Decode.
func compare(t *testing.T, b []byte, got packet.Parsed) {
	t.Helper()
	var ip layers.IPv4
	_ = ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback)
	want := packet.Parsed{
		TTL: ip.TTL, L4: int(ip.IHL) * 4, Total: int(ip.Length), WScale: -1, Payload: len(ip.Payload), ID: ip.Id,
		DF: ip.Flags&layers.IPv4DontFragment != 0, More: ip.Flags&layers.IPv4MoreFragments != 0, Offset: ip.FragOffset * 8,
	}
	want.Src, want.Dst = packettest.Addr(ip.SrcIP.String()), packettest.Addr(ip.DstIP.String())
	want.Proto = packet.Protocol(ip.Protocol)
	switch {
	case ip.FragOffset != 0:
		if p := ip.Protocol; p == layers.IPProtocolTCP || p == layers.IPProtocolUDP || p == layers.IPProtocolICMPv4 {
			want.Kind = packet.KindFragment
		}
	case ip.Protocol == layers.IPProtocolTCP:
		wantTCP(&want, ip.Payload)
	case ip.Protocol == layers.IPProtocolUDP:
		wantUDP(&want, ip.Payload)
	case ip.Protocol == layers.IPProtocolICMPv4:
		wantICMP(&want, ip.Payload)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n% x", diff, b)
	}
	if got.L4 < 20 || got.L4+got.Payload > got.Total || got.Total > len(b) {
		t.Errorf("out of bounds in %d bytes: %+v", len(b), got)
	}
}

func wantTCP(want *packet.Parsed, b []byte) {
	var tcp layers.TCP
	_ = tcp.DecodeFromBytes(b, gopacket.NilDecodeFeedback)
	want.Kind, want.SrcPort, want.DstPort = packet.KindTCP, uint16(tcp.SrcPort), uint16(tcp.DstPort)
	want.Seq, want.Ack, want.Window, want.Flags = tcp.Seq, tcp.Ack, tcp.Window, b[13]
	want.Payload = len(tcp.Payload)
	at := want.L4 + 20
	for _, o := range tcp.Options {
		switch {
		case tcp.SYN && o.OptionType == layers.TCPOptionKindWindowScale && len(o.OptionData) == 1:
			want.WScale = int8(min(o.OptionData[0], 14))
		case tcp.SYN && o.OptionType == layers.TCPOptionKindMSS && len(o.OptionData) == 2:
			want.MSSAt = uint16(at + 2)
		}
		at += max(1, int(o.OptionLength))
	}
}

// choosesWay looks for a source route among the IP options.
func choosesWay(b []byte) bool {
	for opts := b[20 : int(b[0]&0xf)*4]; len(opts) > 0; {
		switch {
		case opts[0] == 131 || opts[0] == 137:
			return true
		case opts[0] == 0:
			return false
		case opts[0] == 1:
			opts = opts[1:]
		case len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts):
			return false
		default:
			opts = opts[opts[1]:]
		}
	}
	return false
}

func wantUDP(want *packet.Parsed, b []byte) {
	var udp layers.UDP
	_ = udp.DecodeFromBytes(b, gopacket.NilDecodeFeedback)
	want.Kind, want.SrcPort, want.DstPort = packet.KindUDP, uint16(udp.SrcPort), uint16(udp.DstPort)
	want.Payload = len(udp.Payload)
}

func wantICMP(want *packet.Parsed, b []byte) {
	var icmp layers.ICMPv4
	_ = icmp.DecodeFromBytes(b, gopacket.NilDecodeFeedback)
	want.Payload = len(icmp.Payload)
	switch icmp.TypeCode.Type() {
	case layers.ICMPv4TypeEchoRequest:
		want.Kind, want.SrcPort = packet.KindEchoRequest, icmp.Id
	case layers.ICMPv4TypeEchoReply:
		want.Kind, want.DstPort = packet.KindEchoReply, icmp.Id
	case layers.ICMPv4TypeDestinationUnreachable,
		layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeParameterProblem:
		want.Kind = packet.KindICMPError
	}
}
