package main

import (
	"encoding/binary"
	"net"
	"net/netip"
)

const (
	ethernetLength = 14
	ipLength       = 20
	udpLength      = 8
	tcpLength      = 20

	frameLength = 60 // the least on Ethernet, without the checksum that the card adds

	protocolTCP = 6
	protocolUDP = 17
)

// link is the two ends of a cable, as a frame names them.
type link struct{ Source, Destination net.HardwareAddr }

// writeHeaders writes Ethernet and IPv4 header for a packet of the given length
// without Ethernet, and returns what follows them. The rest of f is left alone.
func writeHeaders(f []byte, l link, protocol byte, src, dst netip.Addr, length int) (transport []byte) {
	copy(f[0:], l.Destination)
	copy(f[6:], l.Source)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[ethernetLength:]
	clear(ip[:ipLength])
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(length))
	ip[6] = 0x40 // don't fragment
	ip[8] = 64   // TTL
	ip[9] = protocol
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^fold(wordSum(ip[:ipLength])))
	return ip[ipLength:length]
}

// pseudoSum adds up the pseudo-header and what it is for (RFC 9293 §3.1).
func pseudoSum(protocol byte, src, dst netip.Addr, transport []byte) uint64 {
	return wordSum(src.AsSlice()) + wordSum(dst.AsSlice()) + uint64(protocol) + uint64(len(transport)) + wordSum(transport)
}

// wordSum adds up 16-bit words; b has an even length.
func wordSum(b []byte) (sum uint64) {
	for i := 0; i < len(b); i += 2 {
		sum += uint64(binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}

// fold makes a ones' complement sum of a plain one.
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// Flows of crafted packets: a port of the client for each, and when these are used
// up the next destination. Ports stay below what one pool member owns
// (memberPorts), as UDP takes one for each port of the client; no destination
// gets more than half of its 64,512 ports, beyond which nftables searches long
// for a free one, and the search would be what is measured.
const (
	firstPort          = 10_000
	portsOfDestination = 30_000
	farPort            = 9 // discard, RFC 863
)

func flowPort(n uint64) uint16 { return uint16(firstPort + n%portsOfDestination) }

// flowDestination returns the destination of flow n as a number. There is room for
// 3.9 billion flows.
func flowDestination(n uint64) uint32 {
	base := binary.BigEndian.Uint32(farPrefix.Addr().AsSlice())
	return base + 1 + uint32(n/portsOfDestination)%(1<<17-2)
}

// datagram is the template of the flood's frames: UDP from the client's address,
// with valid checksums.
type datagram struct {
	head       [ethernetLength + ipLength + udpLength]byte
	sumIP      uint64 // of the header without destination
	sumPayload uint64 // of the datagram and pseudo-header without port and destination
}

func newDatagram(l link, src netip.Addr) *datagram {
	d := new(datagram)
	none := netip.IPv4Unspecified()
	var frame [frameLength]byte
	udp := writeHeaders(frame[:], l, protocolUDP, src, none, frameLength-ethernetLength)
	binary.BigEndian.PutUint16(udp[2:], farPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	ip := frame[ethernetLength:][:ipLength]
	ip[10], ip[11] = 0, 0
	d.sumIP = wordSum(ip)
	d.sumPayload = pseudoSum(protocolUDP, src, none, udp)
	copy(d.head[:], frame[:])
	return d
}

// write makes f, of frameLength bytes whose last 18 are zero, the frame of flow n.
func (d *datagram) write(f []byte, n uint64) {
	copy(f, d.head[:])
	dst, port := flowDestination(n), flowPort(n)
	words := uint64(dst>>16) + uint64(dst&0xffff)
	ip, udp := f[ethernetLength:], f[ethernetLength+ipLength:]
	binary.BigEndian.PutUint16(ip[10:], ^fold(d.sumIP+words))
	binary.BigEndian.PutUint32(ip[16:], dst)
	binary.BigEndian.PutUint16(udp[0:], port)
	sum := ^fold(d.sumPayload + words + uint64(port))
	if sum == 0 {
		sum = 0xffff // zero would say that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
}
