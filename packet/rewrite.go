package packet

import "encoding/binary"

// Rewrite is a translation worked out once per flow and direction: the new
// tuple, and what that does to the checksums.
type Rewrite struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	addrs, ports     Delta
}

// NewRewrite prepares the translation of from into to. The protocol must not change.
func NewRewrite(from, to Tuple) Rewrite {
	return Rewrite{
		Src: to.Src, Dst: to.Dst, SrcPort: to.SrcPort, DstPort: to.DstPort,
		addrs: addrDelta(from.Src, to.Src).Plus(addrDelta(from.Dst, to.Dst)),
		ports: wordDelta(from.SrcPort, to.SrcPort).Plus(wordDelta(from.DstPort, to.DstPort)),
	}
}

// Hop says what happens to the TTL.
type Hop bool

// A router takes one from the TTL (RFC 1812 §5.3.1). KeepTTL is for the case that
// the kernel, which routes before and after a TUN device, has done so already.
const (
	KeepTTL Hop = false
	TakeTTL Hop = true
)

// Apply translates in place the packet that Decode read into p, which must be
// TCP, UDP or ICMP echo, or a later fragment of one, carry the tuple that r was made
// from and for TakeTTL have a TTL above zero. Of a fragment only the addresses change;
// its datagram's checksum is in the first. With partial the transport checksum field holds only
// the pseudo-header sum, the device adds the rest later (checksum offload):
// ports don't count in it yet.
func (r *Rewrite) Apply(b []byte, p *Parsed, partial bool, hop Hop) {
	d := r.addrs
	if hop == TakeTTL {
		b[8]--
		d = d.Plus(ttlDelta)
	}
	binary.BigEndian.PutUint32(b[12:], uint32(r.Src))
	binary.BigEndian.PutUint32(b[16:], uint32(r.Dst))
	d.apply(b[10:])
	switch l4 := b[p.L4:]; p.Kind {
	case KindTCP:
		r.putPorts(l4)
		r.checksum(l4[16:18], partial)
	case KindUDP:
		r.putPorts(l4)
		r.udpChecksum(l4[6:8], partial)
	case KindEchoRequest:
		binary.BigEndian.PutUint16(l4[4:], r.SrcPort)
		r.ports.applyNonZero(l4[2:]) // ICMP has no pseudo-header
	case KindEchoReply:
		binary.BigEndian.PutUint16(l4[4:], r.DstPort)
		r.ports.applyNonZero(l4[2:])
	}
}

func (r *Rewrite) putPorts(l4 []byte) {
	binary.BigEndian.PutUint16(l4, r.SrcPort)
	binary.BigEndian.PutUint16(l4[2:], r.DstPort)
}

func (r *Rewrite) checksum(field []byte, partial bool) {
	if partial {
		r.addrs.applyPartial(field)
		return
	}
	r.addrs.Plus(r.ports).apply(field)
}

// udpChecksum keeps a zero, which means that the sender made none (RFC 768).
func (r *Rewrite) udpChecksum(field []byte, partial bool) {
	switch {
	case partial:
		r.addrs.applyPartial(field)
	case field[0]|field[1] != 0:
		r.addrs.Plus(r.ports).applyNonZero(field)
	}
}
