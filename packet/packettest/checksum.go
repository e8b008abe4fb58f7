package packettest

import "encoding/binary"

// Where the checksum field stands in its header, in bytes.
const (
	ipSumAt   = 10
	tcpSumAt  = 16
	udpSumAt  = 6
	icmpSumAt = 2
)

// The protocol numbers once more, so that the checker leans on nothing it checks.
const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// slowSum is the ones' complement sum of RFC 1071 §1, word by word with the
// carry brought round at once. Every part but the last is of even length.
func slowSum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i := range b {
			w := uint32(b[i])
			if i%2 == 0 {
				w <<= 8
			}
			if s += w; s > 0xffff {
				s -= 0xffff
			}
		}
	}
	return uint16(s)
}

// pseudoHeader is what TCP and UDP add up besides themselves (RFC 9293 §3.1).
func pseudoHeader(b []byte, length int) []byte {
	p := append([]byte(nil), b[12:20]...)
	p = append(p, 0, b[9])
	return binary.BigEndian.AppendUint16(p, uint16(length))
}

func headerLen(b []byte) int { return int(b[0]&0xf) * 4 }

// sumField returns the transport header with payload, and its checksum field.
// The field is nil where the protocol has none that is known here, or where the
// packet ends before it.
func sumField(b []byte) (transport, field []byte) {
	l4 := b[min(headerLen(b), len(b)):]
	at, ok := map[byte]int{protoTCP: tcpSumAt, protoUDP: udpSumAt, protoICMP: icmpSumAt}[b[9]]
	if !ok || len(l4) < at+2 {
		return l4, nil
	}
	return l4, l4[at : at+2]
}

// Fix computes every checksum of b again, from scratch and in place, after a
// test has written into it. A UDP checksum of zero stays zero. b must be no
// fragment, but may be a packet that makes no sense.
func Fix(b []byte) {
	put(b[ipSumAt:], 0)
	put(b[ipSumAt:], ^slowSum(b[:min(headerLen(b), len(b))]))
	l4, field := sumField(b)
	if field == nil || b[9] == protoUDP && field[0]|field[1] == 0 {
		return
	}
	put(field, 0)
	if b[9] == protoICMP {
		put(field, ^slowSum(l4))
		return
	}
	putTransportSum(b, field, ^slowSum(pseudoHeader(b, len(l4)), l4))
}

// Partial returns a copy of the TCP or UDP packet b as a sender with checksum
// offload leaves it: the field holds the pseudo-header's sum, not inverted, and
// the device adds the rest.
func Partial(b []byte) []byte {
	b = append([]byte(nil), b...)
	l4, field := sumField(b)
	if b[9] != protoTCP && b[9] != protoUDP {
		panic("packettest: only TCP and UDP have partial checksums")
	}
	put(field, slowSum(pseudoHeader(b, len(l4))))
	return b
}

// Complete returns a copy of b with its partial checksum made whole, as a device
// does: it adds up the transport header and payload and looks at nothing else.
func Complete(b []byte) []byte {
	b = append([]byte(nil), b...)
	l4, field := sumField(b)
	putTransportSum(b, field, ^slowSum(l4))
	return b
}

// putTransportSum writes a UDP sum of zero as 0xffff (RFC 768).
func putTransportSum(b, field []byte, c uint16) {
	if c == 0 && b[9] == protoUDP {
		c = 0xffff
	}
	put(field, c)
}

func put(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
