package fragment

import "slices"

const (
	// maxSpans is how many pieces with gaps between them one datagram may be in: more
	// than the 44 fragments of a 64 KiB datagram on Ethernet leave in a random order.
	maxSpans = 24

	// maxPayload is how many bytes a datagram's payload can have: all that a total
	// length can say, less a header.
	maxPayload = 65535 - 20
	unit       = 8 // bytes: the granularity of fragment offsets (RFC 791 §3.1)
)

// span is what has come without a gap, in units of eight bytes: [from, to).
type span struct{ from, to uint16 }

// coverage is which parts of a datagram have come.
type coverage struct {
	spans [maxSpans]span // ascending, with gaps between them
	n     uint8
	last  uint16 // where the datagram ends, in units rounded up; 0 until its last fragment has come
}

// Fate is what becomes of a fragment.
type Fate uint8

// The fates of a fragment.
const (
	Fits      Fate = iota // it adds to its datagram
	Duplicate             // all of it has come already
	Misfit                // it contradicts what has come, or is one too many: the datagram is bad
)

// add places a fragment of length bytes at offset; more says that others follow.
func (c *coverage) add(offset, length int, more bool) Fate {
	s := span{uint16(offset / unit), uint16((offset + length + unit - 1) / unit)}
	switch {
	case length == 0, more && length%unit != 0, offset+length > maxPayload:
		return Misfit
	case c.last != 0 && (s.to > c.last || more && s.to == c.last):
		return Misfit
	}
	if !more {
		// Where the last fragment is still to come, all so far have said that more follow.
		if c.last == 0 && c.n > 0 && c.spans[c.n-1].to >= s.to || c.last != 0 && c.last != s.to {
			return Misfit
		}
		c.last = s.to
	}
	return c.insert(s)
}

func (c *coverage) insert(s span) Fate {
	all := c.spans[:c.n]
	i, _ := slices.BinarySearchFunc(all, s, func(a, b span) int { return int(a.to) - int(b.from) })
	// all[i] is the first that ends at or after the beginning of s.
	if i < len(all) && all[i].to == s.from {
		i++ // it only touches
	}
	switch {
	case i < len(all) && all[i].from <= s.from && s.to <= all[i].to:
		return Duplicate
	case i < len(all) && all[i].from < s.to:
		return Misfit
	}
	return c.join(i, s)
}

// join puts s before span i, with which it does not overlap.
func (c *coverage) join(i int, s span) Fate {
	before := i > 0 && c.spans[i-1].to == s.from
	after := i < int(c.n) && c.spans[i].from == s.to
	switch {
	case before && after:
		c.spans[i-1].to = c.spans[i].to
		copy(c.spans[i:], c.spans[i+1:c.n])
		c.n--
	case before:
		c.spans[i-1].to = s.to
	case after:
		c.spans[i].from = s.from
	case c.n == maxSpans:
		return Misfit
	default:
		copy(c.spans[i+1:], c.spans[i:c.n])
		c.spans[i] = s
		c.n++
	}
	return Fits
}

// whole says whether nothing is missing.
func (c *coverage) whole() bool {
	return c.last != 0 && c.n == 1 && c.spans[0] == span{0, c.last}
}
