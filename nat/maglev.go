package nat

import (
	"math/bits"

	"tidegate/packet"
)

// Distribution says which part of a packet chooses its backend.
type Distribution uint8

// Azure's three distributions.
const (
	FiveTuple  Distribution = iota // Default: every flow for itself
	TwoTuple                       // SourceIP: client and frontend address
	ThreeTuple                     // SourceIPProtocol: and the protocol
)

// hash is the same in every process, so that a client finds its backend again
// after a restart, and by the gateway next to this one.
func (d Distribution) hash(t *packet.Tuple) uint64 {
	a, b := uint64(t.Src)<<32|uint64(t.Dst), uint64(0)
	switch d {
	case FiveTuple:
		b = uint64(t.SrcPort)<<32 | uint64(t.DstPort)<<16 | uint64(t.Proto)
	case ThreeTuple:
		b = uint64(t.Proto)
	}
	return mix(a, b)
}

// mix is two rounds of a folded 64 × 64 bit multiplication, with odd constants
// out of the fractional parts of the golden ratio and the square root of two.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0x6a09e667f3bcc909)
	hi, lo = bits.Mul64(hi^lo^a, 0x9e3779b97f4a7c15)
	return hi ^ lo
}

// Maglev spreads hashes over backends evenly, and so that one backend more or
// less moves hardly any hash that is not its own: the table of "Maglev: A Fast
// and Reliable Software Network Load Balancer" (Eisenbud et al., NSDI 2016) §3.4.
// It never changes.
type Maglev struct {
	backends []packet.Addr
	slots    []uint32 // index into backends
}

// maglevSizes are primes: the least one with a hundred slots for each member is taken
// (§5.3: a backend's share is then within one hundredth), the last one for all that
// are more. Between two of them everything moves, so that there are only two.
var maglevSizes = []int{65537, 1048573}

// NewMaglev makes the table of a pool with so many members for those that take new
// flows, which takes 2–3 ms up to 655 members and 64 ms beyond. Its outcome
// depends on their addresses and not on when they came; its size on the members, lest
// one that goes down move everything.
func NewMaglev(backends []packet.Addr, members int) *Maglev {
	m := &Maglev{backends: backends}
	if len(backends) == 0 {
		return m
	}
	size := maglevSizes[len(maglevSizes)-1]
	for _, s := range maglevSizes {
		if s >= 100*members {
			size = s
			break
		}
	}
	m.fill(size)
	return m
}

// fill lets each backend in turn take the next slot of its own permutation that is
// still free.
func (m *Maglev) fill(size int) {
	const free = ^uint32(0)
	m.slots = make([]uint32, size)
	for i := range m.slots {
		m.slots[i] = free
	}
	at, skip := make([]int, len(m.backends)), make([]int, len(m.backends))
	for i, b := range m.backends {
		at[i] = int(mix(uint64(b), 1) % uint64(size))
		skip[i] = int(mix(uint64(b), 2)%uint64(size-1)) + 1
	}
	for taken := 0; ; {
		for i := range m.backends {
			for m.slots[at[i]] != free {
				at[i] = (at[i] + skip[i]) % size
			}
			m.slots[at[i]] = uint32(i)
			if taken++; taken == size {
				return
			}
		}
	}
}

// Choose returns the backend for a hash; false if there is none.
func (m *Maglev) Choose(hash uint64) (packet.Addr, bool) {
	if len(m.slots) == 0 {
		return 0, false
	}
	slot, _ := bits.Mul64(hash, uint64(len(m.slots)))
	return m.backends[m.slots[slot]], true
}
