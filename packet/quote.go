package packet

import "encoding/binary"

// Quote is the packet that an ICMP error is about, as far as the error repeats it
// (RFC 792, RFC 1812 §4.3.2.3).
type Quote struct {
	Tuple      // as it was on the wire when the error arose
	Kind  Kind // KindTCP, KindUDP, KindEchoRequest, KindEchoReply; KindOther where ports can't be told
	at    int  // offset of its IP header in the error
	l4    int  // offset of its transport header
	have  int  // bytes of that and what follows
	whole bool // its transport header is in it: it is no later fragment
}

// DecodeQuote reads into q what the ICMP error in b, which Decode read into p,
// repeats. All checksums but the quoted transport's must be right (RFC 5508 REQ-3);
// the quoted packet may be cut off anywhere behind its ports.
func DecodeQuote(b []byte, p *Parsed, q *Quote) Fault {
	at := p.L4 + icmpHeaderLen
	if p.Total < at+ipv4HeaderLen {
		return FaultTruncated
	}
	if sum(b[p.L4:p.Total]) != 0xffff {
		return FaultChecksum
	}
	ip := b[at:p.Total]
	hl := int(ip[0]&0xf) * 4
	switch {
	case ip[0]>>4 != 4:
		return FaultVersion
	case hl < ipv4HeaderLen:
		return FaultHeader
	case hl > len(ip):
		return FaultTruncated
	case sum(ip[:hl]) != 0xffff:
		return FaultChecksum
	}
	*q = Quote{at: at, l4: at + hl, have: len(ip) - hl}
	q.Src, q.Dst = Addr(binary.BigEndian.Uint32(ip[12:])), Addr(binary.BigEndian.Uint32(ip[16:]))
	q.Proto = Protocol(ip[9])
	if binary.BigEndian.Uint16(ip[6:])&0x1fff == 0 { // about a later fragment nobody may send one (RFC 1812 §4.3.2.7)
		q.whole = true
		q.transport(ip[hl:])
	}
	return FaultNone
}

func (q *Quote) transport(b []byte) {
	switch {
	case (q.Proto == TCP || q.Proto == UDP) && len(b) >= 4:
		q.Kind = KindTCP
		if q.Proto == UDP {
			q.Kind = KindUDP
		}
		q.SrcPort, q.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case q.Proto == ICMP && len(b) >= 6 && b[0] == icmpEchoRequest:
		q.Kind, q.SrcPort = KindEchoRequest, binary.BigEndian.Uint16(b[4:])
	case q.Proto == ICMP && len(b) >= 6 && b[0] == icmpEchoReply:
		q.Kind, q.DstPort = KindEchoReply, binary.BigEndian.Uint16(b[4:])
	}
}

// RewriteError translates in place the ICMP error in b, of which p and q are the
// parts: its own addresses, and the packet it quotes, which becomes quoted. Three
// checksums change, none is computed anew: a transport's that was wrong, or of a
// packet cut off, stays so. For TakeTTL the TTL must be above zero.
func RewriteError(b []byte, p *Parsed, q *Quote, src, dst Addr, quoted Tuple, hop Hop) {
	d := putAddrs(b, p.Src, p.Dst, src, dst)
	if hop == TakeTTL {
		b[8]--
		d = d.Plus(ttlDelta)
	}
	d.apply(b[10:])
	addrs := putAddrs(b[q.at:], q.Src, q.Dst, quoted.Src, quoted.Dst)
	addrs.apply(b[q.at+10:]) // the header's sum stays the same, and so the message's
	q.rewriteTransport(b[q.l4:q.l4+q.have], quoted, addrs).applyNonZero(b[p.L4+2:])
}

func putAddrs(ip []byte, oldSrc, oldDst, src, dst Addr) Delta {
	binary.BigEndian.PutUint32(ip[12:], uint32(src))
	binary.BigEndian.PutUint32(ip[16:], uint32(dst))
	return addrDelta(oldSrc, src).Plus(addrDelta(oldDst, dst))
}

// rewriteTransport changes the ports and, as far as it is there, the checksum of
// the quoted packet, and returns what that does to the sum of the message.
func (q *Quote) rewriteTransport(l4 []byte, to Tuple, addrs Delta) Delta {
	switch q.Kind {
	case KindTCP:
		return q.putPorts(l4, to, addrs, 16)
	case KindUDP:
		if len(l4) >= 8 && l4[6]|l4[7] == 0 {
			return q.putPorts(l4, to, addrs, len(l4)) // it has none
		}
		return q.putPorts(l4, to, addrs, 6)
	case KindOther:
		if q.Proto == UDPLite && q.whole && len(l4) >= udpHeaderLen {
			return applyCounted(l4[6:8], addrs)
		}
	case KindEchoRequest, KindEchoReply:
		from, id := q.SrcPort|q.DstPort, to.SrcPort|to.DstPort // one of each is zero
		d := wordDelta(from, id)
		binary.BigEndian.PutUint16(l4[4:], id)
		return d.Plus(applyCounted(l4[2:4], d))
	}
	return 0
}

// putPorts rewrites the ports, and the checksum at offset at if that is quoted.
func (q *Quote) putPorts(l4 []byte, to Tuple, addrs Delta, at int) Delta {
	binary.BigEndian.PutUint16(l4, to.SrcPort)
	binary.BigEndian.PutUint16(l4[2:], to.DstPort)
	d := wordDelta(q.SrcPort, to.SrcPort).Plus(wordDelta(q.DstPort, to.DstPort))
	if at+2 <= len(l4) {
		d = d.Plus(applyCounted(l4[at:at+2], addrs.Plus(d)))
	}
	return d
}

// applyCounted applies d to a checksum, and returns what the change of that field
// does to a sum over it.
func applyCounted(field []byte, d Delta) Delta {
	before := binary.BigEndian.Uint16(field)
	d.applyNonZero(field)
	return wordDelta(before, binary.BigEndian.Uint16(field))
}
