package packettest

import (
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
