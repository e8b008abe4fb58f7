package nexthop

import "tidegate/packet"

// cacheBits makes 1024 entries, 16 KiB: half of a first-level data cache.
const cacheBits = 10

// Cache remembers the answers of a Snapshot for one goroutine, direct-mapped by
// destination. The zero Cache is ready for use.
type Cache struct {
	snapshot *Snapshot
	entries  [1 << cacheBits]cached
}

// Only Resolved is kept: the other answers are rare, and an Unresolved one is
// about to change.
type cached struct {
	hop *Hop
	dst packet.Addr
}

// Lookup is s.Lookup(dst), remembered until it is called with another Snapshot.
func (c *Cache) Lookup(s *Snapshot, dst packet.Addr) (*Hop, Status) {
	if c.snapshot != s {
		c.entries, c.snapshot = [1 << cacheBits]cached{}, s
	}
	e := &c.entries[spread(dst, cacheBits)]
	if e.dst == dst && e.hop != nil {
		e.hop.mark()
		return e.hop, Resolved
	}
	hop, status := s.Lookup(dst)
	if status == Resolved {
		*e = cached{hop: hop, dst: dst}
	}
	return hop, status
}

// spread maps an address to bits bits; neighbouring addresses land far apart
// (Knuth's multiplicative hash, 2³²/φ).
func spread(a packet.Addr, bits int) uint32 { return uint32(a) * 0x9e3779b1 >> (32 - bits) }
