package packet

import "encoding/binary"

// Kind says what a decoded packet is to a translator.
type Kind uint8

// The kinds Decode tells apart.
const (
	KindOther       Kind = iota // a protocol, or an ICMP message, that is not translated
	KindTCP                     // TCP segment
	KindUDP                     // UDP datagram
	KindEchoRequest             // ICMP echo request; Tuple.SrcPort is its identifier
	KindEchoReply               // ICMP echo reply; Tuple.DstPort is its identifier
	KindICMPError               // ICMP error that quotes a packet (RFC 5508 §4), but for a redirect: that ends at its link
	KindFragment                // a fragment other than the first, of TCP, UDP or ICMP; Tuple has no ports
)

// Translatable says whether packets of that kind have a Tuple that names their flow.
func (k Kind) Translatable() bool {
	return k == KindTCP || k == KindUDP || k == KindEchoRequest || k == KindEchoReply
}

// Fault says why a packet can't be decoded; FaultNone means it can.
type Fault uint8

// The closed set of faults.
const (
	FaultNone        Fault = iota
	FaultTruncated         // shorter than its headers say
	FaultVersion           // not IPv4
	FaultHeader            // header length below 20, or total length below the header's
	FaultChecksum          // the IPv4 header checksum is wrong (RFC 1812 §5.2.2)
	FaultTransport         // TCP data offset or UDP length is impossible
	FaultSourceRoute       // an IP option has its sender choose the way (RFC 7126 §4.3, §4.4: drop)
)

// TCP flag bits (RFC 9293 §3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// ICMP types used here (RFC 792).
const (
	icmpEchoReply    = 0
	icmpUnreachable  = 3
	icmpEchoRequest  = 8
	icmpTimeExceeded = 11
	icmpParamProblem = 12
)

const (
	ipv4HeaderLen = 20 // without options
	tcpHeaderLen  = 20 // without options
	udpHeaderLen  = 8
	icmpHeaderLen = 8
)

// Parsed is what Decode found: offsets from the first byte of the IP header,
// and the fields that tracking needs. It holds no pointer into the packet.
type Parsed struct {
	Tuple
	Kind    Kind
	TTL     uint8
	DF      bool   // don't fragment
	More    bool   // more fragments follow
	Offset  uint16 // of a fragment's payload in its datagram's, bytes
	ID      uint16 // IP identification
	Flags   uint8  // TCP flag bits
	L4      int    // where the transport header begins
	Total   int    // the IP total length; bytes after it are link padding
	Payload int    // transport payload length in bytes
	Seq     uint32 // TCP
	Ack     uint32 // TCP; meaningful with ACK
	Window  uint16 // TCP, not scaled
	WScale  int8   // TCP window scale option on a SYN (RFC 7323), −1 without one
	MSSAt   uint16 // where the value of a SYN's MSS option stands, 0 without one
}

// Fragment says whether the packet is a part of a datagram.
func (p *Parsed) Fragment() bool { return p.More || p.Offset != 0 }

// Len returns the sequence space the segment takes: payload, SYN and FIN (RFC 9293 §3.4).
func (p *Parsed) Len() uint32 {
	n := uint32(p.Payload)
	if p.Flags&SYN != 0 {
		n++
	}
	if p.Flags&FIN != 0 {
		n++
	}
	return n
}

// Decode reads the IPv4 packet in b into p. All of p is set when it returns
// FaultNone; otherwise p must not be used. b may be longer than the packet.
func Decode(b []byte, p *Parsed) Fault {
	if len(b) < ipv4HeaderLen {
		return FaultTruncated
	}
	if b[0]>>4 != 4 {
		return FaultVersion
	}
	hl := int(b[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case hl < ipv4HeaderLen || total < hl:
		return FaultHeader
	case total > len(b):
		return FaultTruncated
	case sum(b[:hl]) != 0xffff:
		return FaultChecksum
	}
	if hl > ipv4HeaderLen && sourceRouted(b[ipv4HeaderLen:hl]) {
		return FaultSourceRoute
	}
	*p = Parsed{L4: hl, Total: total, TTL: b[8], WScale: -1}
	p.Src = Addr(binary.BigEndian.Uint32(b[12:]))
	p.Dst = Addr(binary.BigEndian.Uint32(b[16:]))
	p.Proto = Protocol(b[9])
	p.ID = binary.BigEndian.Uint16(b[4:])
	word := binary.BigEndian.Uint16(b[6:])
	p.DF, p.More, p.Offset = word&0x4000 != 0, word&0x2000 != 0, word&0x1fff*8
	if p.Offset == 0 {
		return p.transport(b[hl:total])
	}
	p.Payload = total - hl
	if p.Proto == TCP || p.Proto == UDP || p.Proto == ICMP {
		p.Kind = KindFragment
	}
	return FaultNone
}

// IP options (RFC 791 §3.1).
const (
	looseSourceRoute  = 131
	strictSourceRoute = 137
)

func sourceRouted(opts []byte) bool {
	for len(opts) > 0 {
		if opts[0] == looseSourceRoute || opts[0] == strictSourceRoute {
			return true // even one that is cut off
		}
		n := option(opts)
		if n == 0 {
			return false
		}
		opts = opts[n:]
	}
	return false
}

func (p *Parsed) transport(b []byte) Fault {
	switch p.Proto {
	case TCP:
		return p.tcp(b)
	case UDP:
		return p.udp(b)
	case ICMP:
		return p.icmp(b)
	}
	p.Payload = len(b)
	return FaultNone
}

func (p *Parsed) tcp(b []byte) Fault {
	if len(b) < tcpHeaderLen {
		return FaultTransport
	}
	hl := int(b[12]>>4) * 4
	if hl < tcpHeaderLen || hl > len(b) {
		return FaultTransport
	}
	p.Kind = KindTCP
	p.ports(b)
	p.Seq = binary.BigEndian.Uint32(b[4:])
	p.Ack = binary.BigEndian.Uint32(b[8:])
	p.Flags = b[13]
	p.Window = binary.BigEndian.Uint16(b[14:])
	p.Payload = len(b) - hl
	if p.Flags&SYN != 0 {
		p.synOptions(b[tcpHeaderLen:hl])
	}
	return FaultNone
}

func (p *Parsed) udp(b []byte) Fault {
	if len(b) < udpHeaderLen {
		return FaultTransport
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < udpHeaderLen || n > len(b) && !p.More {
		return FaultTransport
	}
	p.Kind = KindUDP
	p.ports(b)
	p.Payload = min(n, len(b)) - udpHeaderLen
	return FaultNone
}

func (p *Parsed) icmp(b []byte) Fault {
	if len(b) < icmpHeaderLen {
		return FaultTransport
	}
	p.Payload = len(b) - icmpHeaderLen
	switch b[0] {
	case icmpEchoRequest:
		p.Kind = KindEchoRequest
		p.SrcPort = binary.BigEndian.Uint16(b[4:])
	case icmpEchoReply:
		p.Kind = KindEchoReply
		p.DstPort = binary.BigEndian.Uint16(b[4:])
	case icmpUnreachable, icmpTimeExceeded, icmpParamProblem:
		p.Kind = KindICMPError
	}
	return FaultNone
}

func (p *Parsed) ports(b []byte) {
	p.SrcPort = binary.BigEndian.Uint16(b)
	p.DstPort = binary.BigEndian.Uint16(b[2:])
}

// Kinds of TCP options (RFC 9293 §3.2, RFC 7323 §2.2).
const (
	optionMSS    = 2
	optionWScale = 3
)

// synOptions finds what a SYN says of its sender's window scale, where a shift above
// 14 counts as 14 (RFC 7323 §2.3), and of the segments it takes.
func (p *Parsed) synOptions(opts []byte) {
	at := p.L4 + tcpHeaderLen
	for n := option(opts); n > 0; n = option(opts) {
		switch {
		case opts[0] == optionWScale && n == 3:
			p.WScale = int8(min(opts[2], 14))
		case opts[0] == optionMSS && n == 4:
			p.MSSAt = uint16(at + 2)
		}
		opts, at = opts[n:], at+n
	}
}
