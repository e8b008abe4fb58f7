package packettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"tidegate/packet"
)

// SCTP builds a packet with the common header (RFC 9260 §3.1) and a payload that
// nobody looks at; its CRC does not cover addresses.
func SCTP(src, dst, payload string) []byte {
	s, d := endpoint(src), endpoint(dst)
	b := binary.BigEndian.AppendUint16(nil, s.Port())
	b = binary.BigEndian.AppendUint16(b, d.Port())
	b = append(b, 0, 0, 0, 9, 0, 0, 0, 0)
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return IPv4(Packet{Src: s.Addr().String(), Dst: d.Addr().String(), Proto: packet.SCTP, Payload: string(b)})
}

// UDPLite builds a datagram of which the checksum covers that many bytes, 0 for all
// (RFC 3828 §3.1).
func UDPLite(src, dst string, coverage int, payload string) []byte {
	s, d := endpoint(src), endpoint(dst)
	l4 := binary.BigEndian.AppendUint16(nil, s.Port())
	l4 = binary.BigEndian.AppendUint16(l4, d.Port())
	l4 = binary.BigEndian.AppendUint16(l4, uint16(coverage))
	l4 = append(append(l4, 0, 0), payload...)
	b := IPv4(Packet{Src: s.Addr().String(), Dst: d.Addr().String(), Proto: packet.UDPLite, Payload: string(l4)})
	c := ^liteSum(b)
	if c == 0 {
		c = 0xffff
	}
	put(b[headerLen(b)+udpSumAt:], c)
	return b
}

// VerifyUDPLite returns what is wrong with the checksum of the UDP-Lite datagram b.
func VerifyUDPLite(b []byte) error {
	if l4 := b[headerLen(b):]; len(l4) < 8 || l4[udpSumAt]|l4[udpSumAt+1] == 0 {
		return errors.New("packettest: UDP-Lite without checksum")
	}
	if sum := liteSum(b); sum != 0xffff {
		return fmt.Errorf("packettest: UDP-Lite checksum is wrong: all adds up to %#04x, not 0xffff", sum)
	}
	return nil
}

// liteSum adds up the pseudo-header, which has the length of all, and what is covered.
func liteSum(b []byte) uint16 {
	l4 := b[headerLen(b):]
	covered := int(binary.BigEndian.Uint16(l4[4:]))
	if covered == 0 {
		covered = len(l4)
	}
	return slowSum(pseudoHeader(b, len(l4)), l4[:covered])
}
