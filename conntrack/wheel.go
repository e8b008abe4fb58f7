package conntrack

// The wheel is one turn of slots. A flow is put into the slot in which it may
// first be due and is not touched again until the sweep comes by, however many
// packets it has: then it either ends or is put further on. A deadline beyond
// one turn is looked at once a turn.
const (
	wheelShift = 6    // a slot spans 64 ms: finer than the second that expiry may be late
	wheelSlots = 8192 // × 64 ms = 524 s, more than most timeouts
	wheelMask  = wheelSlots - 1
)

// list is a doubly linked list through side.next and side.prev.
type list struct{ head, tail uint32 }

func (t *Table) push(l *list, slot uint32) {
	s := &t.sides[slot]
	s.next, s.prev = none, l.tail
	if l.tail == none {
		l.head = slot
	} else {
		t.sides[l.tail].next = slot
	}
	l.tail = slot
}

func (t *Table) unlink(l *list, slot uint32) {
	s := &t.sides[slot]
	if s.prev == none {
		l.head = s.next
	} else {
		t.sides[s.prev].next = s.next
	}
	if s.next == none {
		l.tail = s.prev
	} else {
		t.sides[s.next].prev = s.prev
	}
}

// arm puts the flow where the sweep meets it at due, or a turn from now.
func (t *Table) arm(slot uint32, due uint32) {
	if int32(due-t.swept) > (wheelSlots-2)<<wheelShift {
		due = t.swept + (wheelSlots-2)<<wheelShift
	}
	if int32(due-t.swept) < 0 {
		due = t.swept
	}
	t.sides[slot].due = due
	t.push(&t.wheel[due>>wheelShift&wheelMask], slot)
}

func (t *Table) disarm(slot uint32) {
	t.unlink(&t.wheel[t.sides[slot].due>>wheelShift&wheelMask], slot)
}
