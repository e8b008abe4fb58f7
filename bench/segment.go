package main

import (
	"encoding/binary"
	"net/netip"
)

// Bits of a TCP header's flags (RFC 9293 §3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// segment is a TCP segment without options and bytes.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
}

const segmentLength = ethernetLength + ipLength + tcpLength

// write makes f, of segmentLength bytes, the segment's frame.
func (s segment) write(f []byte, l link) {
	tcp := writeHeaders(f, l, protocolTCP, s.src.Addr(), s.dst.Addr(), ipLength+tcpLength)
	clear(tcp)
	binary.BigEndian.PutUint16(tcp[0:], s.src.Port())
	binary.BigEndian.PutUint16(tcp[2:], s.dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	binary.BigEndian.PutUint32(tcp[8:], s.ack)
	tcp[12], tcp[13] = tcpLength/4<<4, s.flags
	binary.BigEndian.PutUint16(tcp[14:], 0xffff) // window
	binary.BigEndian.PutUint16(tcp[16:], ^fold(pseudoSum(protocolTCP, s.src.Addr(), s.dst.Addr(), tcp)))
}

// readSegment reads a frame, if that is what it holds.
func readSegment(f []byte) (s segment, ok bool) {
	if len(f) < segmentLength || binary.BigEndian.Uint16(f[12:]) != 0x0800 || f[14] != 0x45 || f[23] != protocolTCP {
		return s, false
	}
	ip, tcp := f[ethernetLength:], f[ethernetLength+ipLength:]
	s.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), binary.BigEndian.Uint16(tcp[0:]))
	s.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), binary.BigEndian.Uint16(tcp[2:]))
	s.seq, s.ack, s.flags = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:]), tcp[13]
	return s, true
}

// reply returns a segment in the other direction.
func (s segment) reply(seq, ack uint32, flags byte) segment {
	return segment{src: s.dst, dst: s.src, seq: seq, ack: ack, flags: flags}
}

// Connections are numbered like the flows of the flood.

const endPort = 443 // of all connections, at the far side

// connection returns the client's segment of connection n.
func connection(n int, seq, ack uint32, flags byte) segment {
	var to [4]byte
	binary.BigEndian.PutUint32(to[:], flowDestination(uint64(n)))
	return segment{
		src: netip.AddrPortFrom(craftedAddr, flowPort(uint64(n))),
		dst: netip.AddrPortFrom(netip.AddrFrom4(to), endPort),
		seq: seq, ack: ack, flags: flags,
	}
}

// connectionOf is the inverse of connection: n by the client's port and the far address.
func connectionOf(port uint16, far netip.Addr) int {
	a := far.As4()
	destination := int(binary.BigEndian.Uint32(a[:])) - int(flowDestination(0))
	return destination*portsOfDestination + int(port) - firstPort
}

// connectionKey tells connections apart at either end: the far address, and the port
// that the other side is known by.
func connectionKey(s segment) netip.AddrPort {
	if farPrefix.Contains(s.src.Addr()) {
		return netip.AddrPortFrom(s.src.Addr(), s.dst.Port())
	}
	return netip.AddrPortFrom(s.dst.Addr(), s.src.Port())
}
