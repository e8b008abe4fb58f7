package gateway

import (
	"fmt"
	"time"

	"tidegate/nat"
)

// reportEvery is how often a member that runs out of ports is named.
const reportEvery = int64(time.Second)

// shortage is a lease without a port for a flow of that rule.
type shortage struct {
	rule  uint16
	lease *nat.Lease
}

// reportExhaustion says who has run out of ports, and towards what.
func (c *control) reportExhaustion() {
	now := c.now()
	if now < c.next {
		return
	}
	c.next = now + reportEvery
	c.mu.Lock()
	defer c.mu.Unlock()
	for s, n := range c.short {
		c.journal.note(s.notice(c.rules[s.rule].Name, n), now)
	}
	clear(c.short)
}

// notice tells of n flows without a port.
func (s shortage) notice(rule string, n uint64) Notice {
	l := s.lease
	owner := "Member " + l.Member.String()
	if l.Member == 0 {
		owner = "Frontend " + l.Frontend.String() + " (for flows that stay inside)"
	}
	flows := "1 flow"
	if n != 1 {
		flows = fmt.Sprintf("%d flows", n)
	}
	return Notice{
		Kind: SNATExhausted, Rule: int(s.rule), Backend: l.Member, Protocol: l.Protocol, Towards: l.Refused, Count: n,
		Message: fmt.Sprintf("%s has no %v port left of the %d that rule %s gives it: %s refused, the last towards %v.",
			owner, l.Protocol, l.Total(), rule, flows, l.Refused),
	}
}
