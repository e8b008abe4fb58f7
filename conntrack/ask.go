package conntrack

// Before an idle flow of a rule that wants it is given up, its ends are asked up
// to three times whether they live, and the last answer is awaited two seconds:
// six in all.
const (
	questions     = 3
	questionEvery = 2_000 // ms
)

// unheard returns the ends that have to be asked: of a flow that has just expired
// both, of one that is being asked those that have not spoken since the first
// question. Whatever they say counts, as it does for the idle timer.
func (t *Table) unheard(slot uint32, expired bool) (ask [2]bool) {
	e, s := &t.entries[slot], &t.sides[slot]
	switch {
	case s.asked == 0 && (!expired || !t.rules[s.rule].ask || e[0].state() != Established):
		return ask
	case s.asked == 0:
		ask = [2]bool{true, true}
	default:
		// By the first question both had been silent for the timeout, which leaves
		// as much room for sweeps that come late.
		since := s.due - uint32(s.asked)*questionEvery - t.timeout(slot)
		for i := range e {
			ask[i] = int32(e[i].last-since) < 0
		}
	}
	if t.oneWay(slot) {
		ask[Reply] = false // its answer would not come by
	}
	return ask
}

// question puts the flow where the answers are due.
func (t *Table) question(slot, ms uint32, now int64, ask [2]bool) Ended {
	s := &t.sides[slot]
	s.asked++
	t.disarm(slot)
	t.arm(slot, ms+questionEvery)
	return Ended{Flow: t.Flow(makeRef(slot, Original), now), Ask: ask}
}
