package gateway

import (
	"time"

	"tidegate/nat"
	"tidegate/packet"
)

// reportEvery is how often the log names a member that runs out of ports.
const reportEvery = int64(time.Second)

// shortage is a lease without a port for a flow of that rule.
type shortage struct {
	rule  uint16
	lease *nat.Lease
}

// shortageReport is what happened since it was last told of.
type shortageReport struct {
	rule     string
	member   packet.Addr
	protocol packet.Protocol
	towards  nat.Endpoint
	failed   uint64
}

// reportExhaustion says who has run out of ports, and towards what.
func (c *control) reportExhaustion() {
	now := c.now()
	if now < c.next {
		return
	}
	c.next = now + reportEvery
	for _, s := range c.shortages() {
		c.log.Warn("snat exhausted", "rule", s.rule, "member", s.member.String(), "protocol", s.protocol.String(),
			"towards", s.towards.String(), "failed", s.failed)
	}
}

func (c *control) shortages() (all []shortageReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s, n := range c.short {
		all = append(all, shortageReport{c.rules[s.rule].Name, s.lease.Member, s.lease.Protocol, s.lease.Refused, n})
	}
	clear(c.short)
	return all
}
