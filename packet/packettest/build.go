package packettest

import (
	"net/netip"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"tidegate/packet"
)

// IP holds the header fields that most tests leave alone.
type IP struct {
	TTL     uint8 // 64 if zero
	TOS     uint8
	ID      uint16
	DF      bool
	Options []Option // padded to whole words
}

// Packet is an IPv4 packet of any protocol.
type Packet struct {
	Src, Dst string // "10.0.0.10"
	Proto    packet.Protocol
	Payload  string
	IP
}

// IPv4 builds p, whose payload goes out as it is.
func IPv4(p Packet) []byte {
	ip := p.layer(endpoint(p.Src), endpoint(p.Dst), p.Proto)
	return serialize(ip, p.Payload)
}

// Segment is a TCP segment.
type Segment struct {
	Src, Dst   string // "10.0.0.10:40000"
	Seq, Ack   uint32
	Flags      uint8    // packet.SYN and so on
	Window     uint16   // as on the wire, not scaled; 64240 if zero
	ZeroWindow bool     // the window is closed
	Options    []Option // padded to whole words, not checked
	Payload    string
	IP
}

// TCP builds s.
func TCP(s Segment) []byte {
	src, dst := endpoint(s.Src), endpoint(s.Dst)
	ip := s.layer(src, dst, packet.TCP)
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()),
		Seq: s.Seq, Ack: s.Ack, Window: s.window(),
		FIN: s.Flags&packet.FIN != 0, SYN: s.Flags&packet.SYN != 0,
		RST: s.Flags&packet.RST != 0, PSH: s.Flags&packet.PSH != 0,
		ACK: s.Flags&packet.ACK != 0, URG: s.Flags&flagURG != 0,
		ECE: s.Flags&flagECE != 0, CWR: s.Flags&flagCWR != 0,
		Padding: join(s.Options), // written after the header as it is, even if it makes no sense
	}
	must(tcp.SetNetworkLayerForChecksum(ip))
	return serialize(ip, s.Payload, tcp)
}

func (s Segment) window() uint16 {
	switch {
	case s.ZeroWindow:
		return 0
	case s.Window == 0:
		return 64240 // 44 segments of 1460 bytes, Linux's first window
	}
	return s.Window
}

// Datagram is a UDP datagram.
type Datagram struct {
	Src, Dst   string // "10.0.0.10:5353"
	NoChecksum bool   // the field is zero: the sender made none (RFC 768)
	Payload    string
	IP
}

// UDP builds d.
func UDP(d Datagram) []byte {
	src, dst := endpoint(d.Src), endpoint(d.Dst)
	ip := d.layer(src, dst, packet.UDP)
	udp := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
	must(udp.SetNetworkLayerForChecksum(ip))
	b := serialize(ip, d.Payload, udp)
	switch field := b[headerLen(b)+udpSumAt:]; {
	case d.NoChecksum:
		field[0], field[1] = 0, 0
	case udp.Checksum == 0: // gopacket leaves out the last step of RFC 768
		field[0], field[1] = 0xff, 0xff
	}
	return b
}

func (h IP) layer(src, dst netip.AddrPort, proto packet.Protocol) *layers.IPv4 {
	ip := &layers.IPv4{
		Version: 4, TTL: h.TTL, TOS: h.TOS, Id: h.ID, Protocol: layers.IPProtocol(proto),
		SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
	}
	if h.TTL == 0 {
		ip.TTL = 64
	}
	if h.DF {
		ip.Flags = layers.IPv4DontFragment
	}
	for _, o := range h.Options {
		ip.Options = append(ip.Options, o.ipv4())
	}
	return ip
}

// serialize puts ip, the transport header if there is one, and the payload together.
func serialize(ip *layers.IPv4, payload string, transport ...gopacket.SerializableLayer) []byte {
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	buf := gopacket.NewSerializeBuffer()
	must(gopacket.Payload(payload).SerializeTo(buf, opts))
	for _, l := range transport {
		must(l.SerializeTo(buf, opts))
	}
	must(ip.SerializeTo(buf, opts))
	if len(buf.Bytes()) > 0xffff {
		panic("packettest: the packet is longer than IPv4's 65535 bytes")
	}
	return buf.Bytes()
}

// endpoint parses "10.0.0.10:40000", or "10.0.0.10" as the same with port 0.
func endpoint(s string) netip.AddrPort {
	if !strings.Contains(s, ":") {
		return netip.AddrPortFrom(netip.MustParseAddr(s), 0)
	}
	return netip.MustParseAddrPort(s)
}

func must(err error) {
	if err != nil {
		panic("packettest: build: " + err.Error())
	}
}
