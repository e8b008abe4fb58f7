package conntrack

import (
	"math/bits"

	"tidegate/packet"
)

// index finds a Ref by tuple: buckets of one cache line, two candidates for each
// tuple, of which the emptier takes it. An entry is tag<<32 | Ref+1; 0 is empty.
// It compares tags only: the caller compares the tuple.
type index struct {
	buckets []bucket
	mask    uint32
	seed    [2]uint64
}

const bucketSize = 8

type bucket [bucketSize]uint64

// newIndex has room for n tuples at a load of at most 3/4.
func newIndex(n int, seed [2]uint64) (index, error) {
	want := max(1, (n+5)/6)
	size := 1 << bits.Len(uint(want-1))
	b, err := mapped[bucket](size)
	return index{buckets: b, mask: uint32(size - 1), seed: seed}, err
}

// hash mixes the tuple with a secret, so that nobody outside can aim at one bucket.
func (x *index) hash(t *packet.Tuple) uint64 {
	a := uint64(t.Src)<<32 | uint64(t.Dst)
	b := uint64(t.SrcPort)<<32 | uint64(t.DstPort)<<16 | uint64(t.Proto)
	hi, lo := bits.Mul64(a^x.seed[0], b^x.seed[1])
	hi, lo = bits.Mul64(hi^lo^x.seed[1], 0x9e3779b97f4a7c15)
	return hi ^ lo
}

func (x *index) first(h uint64) uint32 { return uint32(h) & x.mask }

// other returns the second bucket for an entry with that tag in bucket b; other
// of other is b again, so an entry can be moved without its tuple.
func (x *index) other(b, tag uint32) uint32 {
	return (b ^ (tag|1)*0x5bd1e995) & x.mask
}

func makeEntry(tag uint32, r Ref) uint64 { return uint64(tag)<<32 | uint64(r) + 1 }

func entryTag(e uint64) uint32 { return uint32(e >> 32) }

func entryRef(e uint64) Ref { return Ref(uint32(e) - 1) }

// insert adds an entry; false means that there is no room around its two buckets.
func (x *index) insert(h uint64, r Ref) bool {
	tag := uint32(h >> 32)
	b1 := x.first(h)
	b2 := x.other(b1, tag)
	s1, n1 := x.vacancy(b1)
	s2, n2 := x.vacancy(b2)
	switch {
	case n1 == 0 && n2 == 0:
		return x.displace(b1, tag, r) || x.displace(b2, tag, r)
	case n2 > n1:
		x.buckets[b2][s2] = makeEntry(tag, r)
	default:
		x.buckets[b1][s1] = makeEntry(tag, r)
	}
	return true
}

// vacancy returns a free place in bucket b and how many there are.
func (x *index) vacancy(b uint32) (at, n int) {
	for i, e := range x.buckets[b] {
		if e == 0 {
			at = i
			n++
		}
	}
	return at, n
}

// displace makes room in the full bucket b by moving one entry to its other bucket.
func (x *index) displace(b, tag uint32, r Ref) bool {
	for i, e := range x.buckets[b] {
		to := x.other(b, entryTag(e))
		if at, n := x.vacancy(to); n > 0 {
			x.buckets[to][at] = e
			x.buckets[b][i] = makeEntry(tag, r)
			return true
		}
	}
	return false
}

// remove takes out the entry for r, which must be in.
func (x *index) remove(h uint64, r Ref) {
	tag := uint32(h >> 32)
	want := makeEntry(tag, r)
	b := x.first(h)
	for range 2 {
		for i, e := range x.buckets[b] {
			if e == want {
				x.buckets[b][i] = 0
				return
			}
		}
		b = x.other(b, tag)
	}
}
