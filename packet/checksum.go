package packet

import "encoding/binary"

// Delta is the difference that a rewrite makes to a ones' complement checksum:
// the folded sum of ~m + m′ over the words that change (RFC 1624 equation 3).
// Deltas of separate words add up with Plus. The zero Delta changes nothing.
type Delta uint16

// ttlDelta is the change when TTL, the high byte of its word, goes down by one.
const ttlDelta Delta = 0xfeff

// Plus joins two deltas.
func (d Delta) Plus(e Delta) Delta { return Delta(fold(uint64(d) + uint64(e))) }

// apply updates the checksum field at b, which holds an inverted sum.
func (d Delta) apply(b []byte) uint16 {
	c := ^fold(uint64(^binary.BigEndian.Uint16(b)) + uint64(d))
	binary.BigEndian.PutUint16(b, c)
	return c
}

// applyNonZero is apply that writes zero as 0xffff, the same number in ones'
// complement: in UDP zero stands for no checksum (RFC 768), and an ICMP message
// that is zero all over adds up right only with 0xffff.
func (d Delta) applyNonZero(b []byte) {
	if d.apply(b) == 0 {
		b[0], b[1] = 0xff, 0xff
	}
}

// applyPartial updates a field that holds only the beginning of a checksum still
// to be computed by the device: the plain, not inverted, pseudo-header sum.
func (d Delta) applyPartial(b []byte) {
	binary.BigEndian.PutUint16(b, fold(uint64(binary.BigEndian.Uint16(b))+uint64(d)))
}

func addrDelta(from, to Addr) Delta {
	return wordDelta(uint16(from>>16), uint16(to>>16)).Plus(wordDelta(uint16(from), uint16(to)))
}

func wordDelta(from, to uint16) Delta {
	if from == to {
		return 0
	}
	return Delta(fold(uint64(^from) + uint64(to)))
}

func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// partialSum adds up b as 32-bit words; fold makes it a 16-bit ones' complement
// sum. It takes less than 64 KiB.
func partialSum(b []byte) (s uint64) {
	for len(b) >= 4 {
		s += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// sum is the ones' complement sum of b: 0xffff when b holds its own right checksum.
func sum(b []byte) uint16 { return fold(partialSum(b)) }

// pseudoSum is the not yet folded sum of the TCP and UDP pseudo-header (RFC 9293 §3.1).
func pseudoSum(src, dst Addr, proto Protocol, length int) uint64 {
	return uint64(src) + uint64(dst) + uint64(proto) + uint64(length)
}
