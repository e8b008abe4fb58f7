package packet

import (
	"encoding/binary"
	"hash/crc32"
)

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

// castagnoli is SCTP's (RFC 9260 appendix A).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FinishChecksum computes the checksum at offset at, over what follows offset start,
// that was left to a device: for SCTP a CRC, else a sum whose field holds what of it
// the device can't know. false: the offsets are not in the packet.
func FinishChecksum(b []byte, p *Parsed, start, at int) bool {
	if start < p.L4 || at < start || at+4 > p.Total {
		return false
	}
	if p.Proto == SCTP {
		clear(b[at : at+4])
		binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[start:p.Total], castagnoli))
		return true
	}
	binary.BigEndian.PutUint16(b[at:], ^sum(b[start:p.Total]))
	return true
}
