package conntrack

// Before an idle flow of a rule that wants it is given up, its ends are asked up
// to three times whether they live, and the last answer is awaited two seconds:
// six in all.
const (
	questions     = 3
	questionEvery = 2_000 // ms
)

// unheard returns the ends that have to be asked: of a flow that is being asked those
// that have not spoken since the first question, of one that has just expired both.
// Whatever they say counts, as it does for the idle timer.
func (t *Table) unheard(slot uint32, expired bool) (ask [2]bool) {
	e, s := &t.entries[slot], &t.sides[slot]
	if s.asked != 0 {
		// By the first question both had been silent for the timeout, which leaves
		// as much room for sweeps that come late.
		since := s.due - uint32(s.asked)*questionEvery - t.timeout(slot)
		ask = t.audible(slot, int32(e[0].last-since) < 0, int32(e[1].last-since) < 0)
		if ask != [2]bool{} {
			return ask
		}
		s.asked = 0 // a timeout shorter than that may be over again: another round
	}
	if expired && t.rules[s.rule].ask && e[0].state() == Established {
		ask = t.audible(slot, true, true)
	}
	return ask
}

// audible leaves out a server whose answer would not come by.
func (t *Table) audible(slot uint32, client, server bool) [2]bool {
	return [2]bool{client, server && !t.oneWay(slot)}
}

// question puts the flow where the answers are due.
func (t *Table) question(slot, ms uint32, now int64, ask [2]bool) Ended {
	s := &t.sides[slot]
	s.asked++
	t.disarm(slot)
	t.arm(slot, ms+questionEvery)
	return Ended{Flow: t.Flow(makeRef(slot, Original), now), Ask: ask}
}
