package packet

import "encoding/binary"

// PutFragment writes to dst the piece of the packet in b, which Decode read into p,
// that begins at offset at of its payload and fills dst as far as there is payload
// and the length of a fragment allows: a multiple of eight bytes but for the last
// one. It returns the length written and how much of the payload that is. dst must
// hold 68 bytes (RFC 791 §3.2: every link does) and not overlap b.
func PutFragment(dst, b []byte, p *Parsed, at int) (n, taken int) {
	hl := p.L4
	copy(dst, b[:hl])
	if p.Offset != 0 || at != 0 {
		hl = ipv4HeaderLen + copiedOptions(dst[ipv4HeaderLen:], b[ipv4HeaderLen:p.L4])
	}
	taken = p.Total - p.L4 - at
	more := p.More
	if room := len(dst) - hl; taken > room {
		taken, more = room&^7, true
	}
	copy(dst[hl:], b[p.L4+at:p.L4+at+taken])
	dst[0] = 4<<4 | uint8(hl/4)
	binary.BigEndian.PutUint16(dst[2:], uint16(hl+taken))
	word := (p.Offset + uint16(at)) / 8
	if more {
		word |= 0x2000
	}
	binary.BigEndian.PutUint16(dst[6:], word)
	binary.BigEndian.PutUint16(dst[10:], 0)
	binary.BigEndian.PutUint16(dst[10:], ^sum(dst[:hl]))
	return hl + taken, taken
}

// copiedOptions writes those options that go into every fragment (RFC 791 §3.1, the
// copied flag), padded to whole words, and returns their length.
func copiedOptions(dst, opts []byte) (n int) {
	for size := option(opts); size > 0; size = option(opts) {
		if opts[0]&0x80 != 0 {
			n += copy(dst[n:], opts[:size])
		}
		opts = opts[size:]
	}
	for ; n%4 != 0; n++ {
		dst[n] = optionEnd
	}
	return n
}

// CompleteChecksum finishes the checksum of the TCP segment or UDP datagram in b
// that a device was to complete: the field holds the pseudo-header's sum. A computed
// zero of UDP becomes 0xffff (RFC 768).
func CompleteChecksum(b []byte, p *Parsed) {
	l4 := b[p.L4:p.Total]
	at := 16
	if p.Kind == KindUDP {
		at = 6
	}
	c := ^sum(l4)
	if c == 0 && p.Kind == KindUDP {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(l4[at:], c)
}
