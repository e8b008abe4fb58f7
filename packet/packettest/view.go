package packettest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"tidegate/packet"
)

// View is a packet as gopacket reads it, checksums and lengths left out. It is
// comparable; a test takes that of the packet it sent, writes into it what shall
// have changed, and compares it with what arrived.
type View struct {
	Src, Dst  string // "10.0.0.10:40000", or "10.0.0.10" where there are no ports
	Proto     packet.Protocol
	TTL, TOS  uint8
	ID        uint16 // IP identification
	DF, MF    bool
	Offset    int    // of a fragment, in bytes
	IPOptions string // raw, with padding

	Flags      uint8 // TCP
	Seq, Ack   uint32
	Window     uint16
	Options    string // raw, with padding
	NoChecksum bool   // UDP

	Type, Code uint8  // ICMP
	Ident      uint16 // echo identifier
	EchoSeq    uint16 // echo sequence number; the MTU in fragmentation-needed

	Payload string
}

// Fields returns the view of b and ends the test if b does not decode.
func Fields(t testing.TB, b []byte) View {
	t.Helper()
	v, err := view(b)
	if err != nil {
		t.Fatalf("packettest: %v in % x", err, b)
	}
	return v
}

// Quoted returns the view of the packet that the ICMP error in b quotes. Of a
// TCP header cut short it has ports and sequence number only (RFC 792).
func Quoted(t testing.TB, b []byte) View {
	t.Helper()
	inner := Fields(t, b).Payload
	v, err := view([]byte(inner))
	if err != nil && v.Proto != packet.TCP {
		t.Fatalf("packettest: %v in the packet quoted by % x", err, b)
	}
	return v
}

// view reads as far as it gets before an error.
func view(b []byte) (View, error) {
	var ip layers.IPv4
	if err := ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return View{}, err
	}
	v := View{
		Src: ip.SrcIP.String(), Dst: ip.DstIP.String(), Proto: packet.Protocol(ip.Protocol),
		TTL: ip.TTL, TOS: ip.TOS, ID: ip.Id,
		DF: ip.Flags&layers.IPv4DontFragment != 0, MF: ip.Flags&layers.IPv4MoreFragments != 0,
		Offset: int(ip.FragOffset) * 8, IPOptions: string(ip.Contents[20:]), Payload: string(ip.Payload),
	}
	if isFragment(&ip) {
		return v, nil
	}
	switch ip.Protocol {
	case protoTCP:
		return v, v.tcp(ip.Payload)
	case protoUDP:
		return v, v.udp(ip.Payload)
	case protoICMP:
		return v, v.icmp(ip.Payload)
	}
	return v, nil
}

func (v *View) tcp(b []byte) error {
	if len(b) >= 8 {
		v.ports(b)
		v.Seq = binary.BigEndian.Uint32(b[4:])
	}
	var tcp layers.TCP
	if err := tcp.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return err
	}
	v.Ack, v.Flags, v.Window = tcp.Ack, b[13], tcp.Window
	v.Options, v.Payload = string(tcp.Contents[20:]), string(tcp.Payload)
	return nil
}

func (v *View) udp(b []byte) error {
	var udp layers.UDP
	if err := udp.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return err
	}
	v.ports(b)
	v.NoChecksum, v.Payload = udp.Checksum == 0, string(udp.Payload)
	return nil
}

func (v *View) icmp(b []byte) error {
	var icmp layers.ICMPv4
	if err := icmp.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return err
	}
	v.Type, v.Code = icmp.TypeCode.Type(), icmp.TypeCode.Code()
	v.Ident, v.EchoSeq, v.Payload = icmp.Id, icmp.Seq, string(icmp.Payload)
	return nil
}

func (v *View) ports(b []byte) {
	v.Src = fmt.Sprintf("%s:%d", v.Src, binary.BigEndian.Uint16(b))
	v.Dst = fmt.Sprintf("%s:%d", v.Dst, binary.BigEndian.Uint16(b[2:]))
}

// Tuple returns the tuple of src and dst, each "10.0.0.10:40000", or for a side
// without a port "10.0.0.10".
func Tuple(proto packet.Protocol, src, dst string) packet.Tuple {
	s, d := endpoint(src), endpoint(dst)
	return packet.Tuple{
		Src: packet.AddrFrom(s.Addr()), Dst: packet.AddrFrom(d.Addr()),
		SrcPort: s.Port(), DstPort: d.Port(), Proto: proto,
	}
}

// Addr parses "10.0.0.10".
func Addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
