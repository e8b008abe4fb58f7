package packet

// Protocols of which an address can be changed without knowing more of them (IANA
// protocol numbers): the checksum of GRE (RFC 2784) and the CRC of SCTP (RFC 9260
// §6.8) don't cover addresses, that of UDP-Lite (RFC 3828 §3.1) does and is where
// UDP has it.
const (
	GRE     Protocol = 47
	SCTP    Protocol = 132
	UDPLite Protocol = 136
)

// AddressesOnly says whether RewriteAddresses takes packets of that protocol.
func AddressesOnly(p Protocol) bool { return p == GRE || p == SCTP || p == UDPLite }

// RewriteAddresses translates in place the packet in b, which Decode read into p. Of a
// later fragment the header is all there is to change. For TakeTTL its TTL must be
// above zero.
func RewriteAddresses(b []byte, p *Parsed, src, dst Addr, hop Hop) {
	d := putAddrs(b, p.Src, p.Dst, src, dst)
	if l4 := b[p.L4:p.Total]; p.Proto == UDPLite && p.Offset == 0 && len(l4) >= udpHeaderLen {
		d.applyNonZero(l4[6:])
	}
	if hop == TakeTTL {
		b[8]--
		d = d.Plus(ttlDelta)
	}
	d.apply(b[10:])
}
