package packet

import "encoding/binary"

const (
	ownTTL = 64 // RFC 1700's recommended default, what Linux uses

	// quoted is how much of a packet an ICMP error repeats: as much as keeps it
	// within 576 bytes (RFC 1812 §4.3.2.3).
	quoted = 576 - ipv4HeaderLen - icmpHeaderLen
)

// Unreachable codes (RFC 792, RFC 1812 §5.2.7.1).
const (
	CodeHost                = 1
	CodeFragmentationNeeded = 4 // RFC 1191
	CodeAdminProhibited     = 13
)

// Segment is a TCP segment without options or payload, made by the gateway.
type Segment struct {
	Tuple
	Seq, Ack uint32
	Flags    uint8
	Window   uint16 // not scaled; 0 for a RST, of which nobody reads it
	ID       uint16 // IP identification
}

// SegmentLen is the length of a Segment on the wire, link header not counted.
const SegmentLen = ipv4HeaderLen + tcpHeaderLen

// PutSegment writes s with valid checksums to b, which must hold SegmentLen
// bytes. The TTL is 64, don't-fragment is set.
func PutSegment(b []byte, s *Segment) {
	b = b[:SegmentLen]
	clear(b)
	putIPv4(b, s.Src, s.Dst, TCP, s.ID)
	t := b[ipv4HeaderLen:]
	binary.BigEndian.PutUint16(t, s.SrcPort)
	binary.BigEndian.PutUint16(t[2:], s.DstPort)
	binary.BigEndian.PutUint32(t[4:], s.Seq)
	binary.BigEndian.PutUint32(t[8:], s.Ack)
	t[12] = tcpHeaderLen / 4 << 4
	t[13] = s.Flags
	binary.BigEndian.PutUint16(t[14:], s.Window)
	c := ^fold(partialSum(t) + pseudoSum(s.Src, s.Dst, TCP, len(t)))
	binary.BigEndian.PutUint16(t[16:], c)
}

// ResetFor makes the RST that answers the segment in p, which must not be a RST
// itself, as an endpoint without that connection does (RFC 9293 §3.10.7.1):
// with ACK it takes the sequence number the segment names, so the receiver
// can't but accept it.
func ResetFor(p *Parsed) Segment {
	s := Segment{Tuple: p.Reverse(), Flags: RST}
	if p.Flags&ACK != 0 {
		s.Seq = p.Ack
		return s
	}
	s.Flags |= ACK
	s.Ack = p.Seq + p.Len()
	return s
}

// ICMPErrorLen returns the length on the wire of an error about a packet of n bytes.
func ICMPErrorLen(n int) int { return ipv4HeaderLen + icmpHeaderLen + min(n, quoted) }

// PutUnreachable writes to b an ICMP destination-unreachable of that code from
// the gateway's address about the packet orig, back to its source, and returns
// its length, ICMPErrorLen(len(orig)), which b must hold. orig must not overlap b.
// mtu is the next link's for CodeFragmentationNeeded (RFC 1191 §4), else zero.
func PutUnreachable(b []byte, from Addr, code uint8, mtu, id uint16, orig []byte) int {
	return putICMPError(b, from, icmpUnreachable, code, mtu, id, orig)
}

// PutTimeExceeded does the same for a packet whose TTL ran out (RFC 792).
func PutTimeExceeded(b []byte, from Addr, id uint16, orig []byte) int {
	return putICMPError(b, from, icmpTimeExceeded, 0, 0, id, orig)
}

func putICMPError(b []byte, from Addr, typ, code uint8, mtu, id uint16, orig []byte) int {
	orig = orig[:min(len(orig), quoted)]
	b = b[:ICMPErrorLen(len(orig))]
	clear(b[:ipv4HeaderLen+icmpHeaderLen])
	putIPv4(b, from, Addr(binary.BigEndian.Uint32(orig[12:])), ICMP, id)
	b[1] = orig[1] &^ 3 // the DS field goes back (RFC 5508 REQ-10d), ECN does not
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^sum(b[:ipv4HeaderLen]))
	m := b[ipv4HeaderLen:]
	m[0], m[1] = typ, code
	binary.BigEndian.PutUint16(m[6:], mtu)
	copy(m[icmpHeaderLen:], orig)
	binary.BigEndian.PutUint16(m[2:], ^sum(m))
	return len(b)
}

// EchoReply turns the echo request in b, which Decode read into p, into its
// reply in place: ends swapped, a fresh TTL. Of a later fragment that is all.
func EchoReply(b []byte, p *Parsed) {
	binary.BigEndian.PutUint32(b[12:], uint32(p.Dst))
	binary.BigEndian.PutUint32(b[16:], uint32(p.Src))
	b[8] = ownTTL
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^sum(b[:p.L4]))
	if p.Offset != 0 {
		return
	}
	m := b[p.L4:]
	m[0] = icmpEchoReply
	wordDelta(icmpEchoRequest<<8, icmpEchoReply<<8).applyNonZero(m[2:])
}

func putIPv4(b []byte, src, dst Addr, proto Protocol, id uint16) {
	b[0] = 4<<4 | ipv4HeaderLen/4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], id)
	b[6] = 0x40 // don't fragment
	b[8], b[9] = ownTTL, byte(proto)
	binary.BigEndian.PutUint32(b[12:], uint32(src))
	binary.BigEndian.PutUint32(b[16:], uint32(dst))
	binary.BigEndian.PutUint16(b[10:], ^sum(b[:ipv4HeaderLen]))
}
