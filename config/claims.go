package config

import "net/netip"

// claims remembers which addresses belong to whom. A look-up costs at most 33
// map reads however many claims there are, so a pool of thousands is cheap.
type claims struct {
	exact  map[netip.Prefix]claim // by the prefix claimed
	around map[netip.Prefix]claim // by every prefix that covers a claimed one, itself too
}

type claim struct {
	prefix netip.Prefix
	owner  string
}

func newClaims() claims {
	return claims{map[netip.Prefix]claim{}, map[netip.Prefix]claim{}}
}

// add claims p; where an earlier claim overlaps, both stay.
func (c claims) add(p netip.Prefix, owner string) {
	c.exact[p] = claim{p, owner}
	for bits := p.Bits(); bits >= 0; bits-- {
		wider := netip.PrefixFrom(p.Addr(), bits).Masked()
		if _, known := c.around[wider]; known {
			return // and so is everything still wider
		}
		c.around[wider] = c.exact[p]
	}
}

// overlap returns a claim that shares addresses with p.
func (c claims) overlap(p netip.Prefix) (claim, bool) {
	if found, ok := c.around[p]; ok {
		return found, true
	}
	return c.cover(p)
}

// cover returns a claim of all of p.
func (c claims) cover(p netip.Prefix) (claim, bool) {
	for bits := p.Bits(); bits >= 0; bits-- {
		if found, ok := c.exact[netip.PrefixFrom(p.Addr(), bits).Masked()]; ok {
			return found, true
		}
	}
	return claim{}, false
}

// free returns how many addresses of p are not claimed. It looks only where
// claims are: halves that have none, or are one's, need no look inside.
func (c claims) free(p netip.Prefix) int {
	if _, all := c.cover(p); all {
		return 0
	}
	if _, some := c.around[p]; !some {
		return size(p)
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	address := p.Addr().As4()
	address[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	return c.free(low) + c.free(netip.PrefixFrom(netip.AddrFrom4(address), low.Bits()))
}
