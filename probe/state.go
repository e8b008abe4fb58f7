package probe

import "time"

// state is what is known of a target and what a change of it takes.
type state struct {
	Status      // without its Target
	against int // results in a row that contradict Up
}

// observe counts the answer that came at now and reports whether there is news:
// the first result, or a change.
func (s *state) observe(a answer, now time.Time, threshold int) (news bool) {
	s.Last, s.Took, s.Result = now, a.took, a.result
	if a.kind == yes {
		s.Succeeded++
	} else {
		s.Failed++
	}
	if s.Known && (a.kind == yes) == s.Up {
		s.against = 0
		return false
	}
	s.against++
	if s.Known && a.kind != no && s.against < threshold {
		return false
	}
	s.Known, s.Up, s.Since, s.against = true, a.kind == yes, now, 0
	return true
}
