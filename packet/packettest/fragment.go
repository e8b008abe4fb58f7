package packettest

import (
	"fmt"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Fragments cuts b, which stays as it is, into packets of at most mtu bytes, in
// order. Every fragment carries all IP options.
func Fragments(b []byte, mtu int) [][]byte {
	var whole layers.IPv4
	must(whole.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
	room := (mtu - len(whole.Contents)) &^ 7 // offsets count in 8 bytes
	if room <= 0 {
		panic("packettest: the MTU leaves no room for 8 bytes of a fragment")
	}
	var out [][]byte
	for at, rest := 0, whole.Payload; len(rest) > 0; at += room {
		n := min(room, len(rest))
		ip := whole
		ip.FragOffset += uint16(at / 8)
		ip.Flags &^= layers.IPv4DontFragment
		if n < len(rest) {
			ip.Flags |= layers.IPv4MoreFragments
		}
		out = append(out, serialize(&ip, string(rest[:n])))
		rest = rest[n:]
	}
	return out
}

// Reassemble puts the fragments of one datagram together, in whatever order they are,
// as slowly as can be: sorted, and each where the one before it ends. The header is
// that of the first.
func Reassemble(pieces [][]byte) ([]byte, error) {
	sorted := slices.Clone(pieces)
	slices.SortStableFunc(sorted, func(a, b []byte) int { return offset(a) - offset(b) })
	var whole []byte
	for i, p := range sorted {
		if err := Verify(p); err != nil {
			return nil, err
		}
		if i == 0 {
			whole = slices.Clone(p[:headerLen(p)])
		}
		last := i == len(sorted)-1
		switch more := p[6]&0x20 != 0; {
		case offset(p) != len(whole)-headerLen(whole):
			return nil, fmt.Errorf("packettest: a fragment begins at %d, after %d bytes", offset(p), len(whole)-headerLen(whole))
		case more == last:
			return nil, fmt.Errorf("packettest: fragment %d of %d says that more follow: %t", i+1, len(sorted), more)
		}
		whole = append(whole, p[headerLen(p):]...)
	}
	put(whole[2:], uint16(len(whole)))
	put(whole[6:], 0)
	put(whole[ipSumAt:], 0)
	put(whole[ipSumAt:], ^slowSum(whole[:headerLen(whole)]))
	return whole, nil
}

// offset is where the payload of a fragment belongs, in bytes.
func offset(b []byte) int { return (int(b[6])<<8 | int(b[7])) & 0x1fff * 8 }
