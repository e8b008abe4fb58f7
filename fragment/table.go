package fragment

import (
	"time"

	"tidegate/packet"
)

// Key names a datagram on its way (RFC 791 §3.2), by the side it comes from.
type Key struct {
	Src, Dst packet.Addr
	ID       uint16
	Proto    packet.Protocol
	Inside   bool
}

const (
	// maxDatagrams are followed at a time; with 160 bytes each they and their index
	// take 8 MB.
	maxDatagrams = 1 << 15

	// maxHeld bounds the fragments that wait for their first one: of one datagram as
	// many as it can have on Ethernet, in all about 4 MB.
	maxHeld      = 64
	maxHeldBytes = 4 << 20

	// frameCost is what a frame takes beside its own bytes: its place in a list that
	// has room to grow, and what the allocator rounds up.
	frameCost = 64

	// patience is how long a datagram may take to arrive after its first fragment: as
	// long as Linux gives it (ipfrag_time). RFC 1122 §3.3.2 would have a receiver wait
	// for at least a minute.
	patience = int64(30 * time.Second)

	// skew is how long the first fragment may come after another, and how long nothing
	// of a refused datagram passes: more than any reordering, and less than it takes a
	// busy sender's identifiers to come again (65,536 of them, RFC 6864 §3.1), whose
	// datagram must not get what an old one has left.
	skew = int64(500 * time.Millisecond)
)

// Flow is what the Table remembers of the flow that a datagram belongs to: as its
// owner has given it.
type Flow struct {
	ID   uint64
	Base uint32 // TCP: the sequence number of the first byte of the IP payload, counted back
	Way  uint8
}

// datagram is one that is not whole yet.
type datagram struct {
	key        Key
	coverage   coverage
	until      int64
	prev, next int32 // in its list
	flow       Flow
	known      bool // the first fragment has come, and been let through
	bad        bool // nothing of it passes any more
	held       uint8
}

// Table follows datagrams.
type Table struct {
	index     map[Key]int32
	datagrams []datagram
	free      []int32
	begun     list // whose first fragment has come
	vague     list // the others, and those that are refused
	held      map[int32][][]byte
	bytes     int
	lost      int // frames that have waited in vain
}

const none = -1

// list is datagrams by age.
type list struct{ oldest, newest int32 }

// New returns an empty Table.
func New() *Table {
	return &Table{index: make(map[Key]int32), held: make(map[int32][][]byte), begun: list{none, none}, vague: list{none, none}}
}

// Len returns how many datagrams are followed.
func (t *Table) Len() int { return len(t.index) }

// Held returns how many bytes the fragments take that wait for their first one.
func (t *Table) Held() int { return t.bytes }

// First notes that a datagram's first fragment, of length bytes of IP payload, has
// come and belongs to a flow; those that have waited for it are handed over, to be
// sent on after it. An unfinished datagram of that key is forgotten: identifiers
// come again.
func (t *Table) First(k Key, length int, f Flow, now int64) (waited [][]byte, fate Fate) {
	i := t.current(k, now)
	if t.datagrams[i].known {
		t.remove(i)
		i = t.add(k, now)
	}
	d := &t.datagrams[i]
	if d.bad {
		return nil, Misfit
	}
	if fate = d.coverage.add(0, length, true); fate == Misfit {
		t.spoil(i)
		return nil, fate
	}
	t.unlink(i)
	d.known, d.flow, d.until = true, f, now+patience
	t.link(i)
	waited = t.take(i)
	t.finish(i)
	return waited, fate
}

// Refuse notes that a datagram's first fragment was dropped, so that nothing of it
// passes.
func (t *Table) Refuse(k Key, now int64) {
	t.spoil(t.current(k, now))
}

// current returns the datagram of that key, a new one if there is none or its time is
// up.
func (t *Table) current(k Key, now int64) int32 {
	i, found := t.index[k]
	if found && now >= t.datagrams[i].until {
		t.remove(i)
		found = false
	}
	if !found {
		i = t.add(k, now)
	}
	return i
}

// Later places a fragment that is not the first. known says that its datagram's
// flow is known, and which it is.
func (t *Table) Later(k Key, offset, length int, more bool, now int64) (f Flow, known bool, fate Fate) {
	i := t.current(k, now)
	d := &t.datagrams[i]
	if d.bad {
		return f, false, Misfit
	}
	if fate = d.coverage.add(offset, length, more); fate == Misfit {
		t.spoil(i)
		return f, false, fate
	}
	f, known = d.flow, d.known
	if known {
		t.finish(i)
	}
	return f, known, fate
}

// Hold keeps a copy of a frame, for which Later has found no flow, until the first
// fragment comes; the oldest that wait make room. false: its datagram has too many.
func (t *Table) Hold(k Key, frame []byte) bool {
	i, found := t.index[k]
	if !found || t.datagrams[i].held >= maxHeld {
		return false
	}
	for t.bytes+frameCost+len(frame) > maxHeldBytes {
		if t.vague.oldest == i {
			return false
		}
		t.remove(t.vague.oldest)
	}
	t.datagrams[i].held++
	t.held[i] = append(t.held[i], append([]byte(nil), frame...))
	t.bytes += frameCost + len(frame)
	return true
}

// Expire forgets the datagrams whose time is up, and returns how many frames have
// waited in vain since it was called last. It may be called as often as one likes.
func (t *Table) Expire(now int64) (lost int) {
	for _, l := range []*list{&t.vague, &t.begun} {
		for l.oldest != none && now >= t.datagrams[l.oldest].until {
			t.remove(l.oldest)
		}
	}
	lost, t.lost = t.lost, 0
	return lost
}

// add begins to follow a datagram, in place of the oldest if there are too many.
func (t *Table) add(k Key, now int64) int32 {
	if len(t.index) == maxDatagrams {
		oldest := t.vague.oldest
		if oldest == none {
			oldest = t.begun.oldest
		}
		t.remove(oldest)
	}
	i := int32(len(t.datagrams))
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.datagrams = append(t.datagrams, datagram{})
	}
	t.datagrams[i] = datagram{key: k, until: now + skew}
	t.link(i)
	t.index[k] = i
	return i
}

func (t *Table) listOf(d *datagram) *list {
	if d.known {
		return &t.begun
	}
	return &t.vague
}

// link makes a datagram the newest of its list.
func (t *Table) link(i int32) {
	d := &t.datagrams[i]
	l := t.listOf(d)
	d.prev, d.next = l.newest, none
	if l.newest != none {
		t.datagrams[l.newest].next = i
	} else {
		l.oldest = i
	}
	l.newest = i
}

func (t *Table) unlink(i int32) {
	d := &t.datagrams[i]
	l := t.listOf(d)
	if d.prev != none {
		t.datagrams[d.prev].next = d.next
	} else {
		l.oldest = d.next
	}
	if d.next != none {
		t.datagrams[d.next].prev = d.prev
	} else {
		l.newest = d.prev
	}
}

// finish forgets a datagram of which everything has passed.
func (t *Table) finish(i int32) {
	if t.datagrams[i].coverage.whole() {
		t.remove(i)
	}
}

// spoil remembers that a datagram is bad, until its time is up; that of one whose
// first fragment had come is longer.
func (t *Table) spoil(i int32) {
	t.datagrams[i].bad = true
	t.lost += len(t.take(i))
}

// take hands over what a datagram holds.
func (t *Table) take(i int32) [][]byte {
	frames := t.held[i]
	for _, f := range frames {
		t.bytes -= frameCost + len(f)
	}
	delete(t.held, i)
	t.datagrams[i].held = 0
	return frames
}

func (t *Table) remove(i int32) {
	t.lost += len(t.take(i))
	t.unlink(i)
	delete(t.index, t.datagrams[i].key)
	t.free = append(t.free, i)
}
