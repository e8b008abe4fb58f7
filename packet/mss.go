package packet

import "encoding/binary"

// overhead is what a segment without options has beside its data (RFC 9293 §3.7.1).
const overhead = ipv4HeaderLen + tcpHeaderLen

// ClampMSS lowers the MSS option of the SYN in b, which Decode read into p, to what
// fits a packet of mtu bytes. One that is lower, or not there, is left alone; an mtu
// below 576 counts as that, of which every host takes packets (RFC 1122 §3.3.3).
// partial is as for Rewrite.Apply.
func ClampMSS(b []byte, p *Parsed, mtu int, partial bool) {
	if p.MSSAt == 0 {
		return
	}
	most := uint16(min(max(mtu, 576), 65535) - overhead)
	value := b[p.MSSAt:]
	old := binary.BigEndian.Uint16(value)
	if old <= most {
		return
	}
	binary.BigEndian.PutUint16(value, most)
	if partial {
		return // the device adds up what it finds
	}
	d := wordDelta(old, most)
	if (int(p.MSSAt)-p.L4)%2 == 1 {
		d = wordDelta(old<<8|old>>8, most<<8|most>>8) // it stands across two words (RFC 1071 §2)
	}
	d.apply(b[p.L4+16:])
}
