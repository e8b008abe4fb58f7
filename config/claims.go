package config

import (
	"encoding/binary"
	"net/netip"
)

// claims remembers which addresses belong to whom. A look-up costs at most 33
// map reads however many claims there are, so a pool of thousands is cheap.
type claims struct {
	all    []claim
	exact  map[prefixKey]int32 // claim by the prefix claimed
	around map[prefixKey]int32 // claim by every prefix that covers a claimed one, itself too
}

type claim struct {
	prefix netip.Prefix
	owner  string
}

// prefixKey is an IPv4 prefix in a quarter of the room: maps may have a million of them.
type prefixKey uint64

func keyOf(p netip.Prefix) prefixKey {
	a := p.Addr().As4()
	return prefixKey(binary.BigEndian.Uint32(a[:]))<<6 | prefixKey(p.Bits())
}

// wider is the prefix with that many bits around k.
func (k prefixKey) wider(bits int) prefixKey {
	return k>>(38-bits)<<(38-bits) | prefixKey(bits)
}

func newClaims() *claims {
	return &claims{exact: map[prefixKey]int32{}, around: map[prefixKey]int32{}}
}

// add claims p; where an earlier claim overlaps, both stay.
func (c *claims) add(p netip.Prefix, owner string) {
	number, key := int32(len(c.all)), keyOf(p)
	c.all = append(c.all, claim{p, owner})
	c.exact[key] = number
	for bits := p.Bits(); bits >= 0; bits-- {
		if _, known := c.around[key.wider(bits)]; known {
			return // and so is everything still wider
		}
		c.around[key.wider(bits)] = number
	}
}

// overlap returns a claim that shares addresses with p.
func (c *claims) overlap(p netip.Prefix) (claim, bool) {
	if !p.IsValid() {
		return claim{}, false
	}
	if found, ok := c.around[keyOf(p)]; ok {
		return c.all[found], true
	}
	return c.cover(p)
}

// cover returns a claim of all of p.
func (c *claims) cover(p netip.Prefix) (claim, bool) {
	for key, bits := keyOf(p), p.Bits(); bits >= 0; bits-- {
		if found, ok := c.exact[key.wider(bits)]; ok {
			return c.all[found], true
		}
	}
	return claim{}, false
}

// free returns how many addresses of p are not claimed. It looks only where
// claims are: halves that have none, or are one's, need no look inside.
func (c *claims) free(p netip.Prefix) int {
	if _, all := c.cover(p); all {
		return 0
	}
	if _, some := c.around[keyOf(p)]; !some {
		return size(p)
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	address := p.Addr().As4()
	address[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	return c.free(low) + c.free(netip.PrefixFrom(netip.AddrFrom4(address), low.Bits()))
}
