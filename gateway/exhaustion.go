package gateway

import (
	"log/slog"
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
	owner    slog.Attr // of the lease: a member, or a frontend for its hairpin flows
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
		c.log.Warn("snat exhausted", "rule", s.rule, s.owner, "protocol", s.protocol.String(),
			"towards", s.towards.String(), "failed", s.failed)
	}
}

func (c *control) shortages() (all []shortageReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s, n := range c.short {
		all = append(all, shortageReport{c.rules[s.rule].Name, ownerOf(s.lease), s.lease.Protocol, s.lease.Refused, n})
	}
	clear(c.short)
	return all
}

func ownerOf(l *nat.Lease) slog.Attr {
	if l.Member == 0 {
		return slog.String("frontend", l.Frontend.String())
	}
	return slog.String("member", l.Member.String())
}
