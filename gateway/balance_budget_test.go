package gateway

import (
	"testing"

	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// TestBalancedFlowsCostNoAllocation: whatever chose the backend, a packet of a
// known flow costs what any does.
func TestBalancedFlowsCostNoAllocation(t *testing.T) {
	r := newSite(t)
	pairs := map[string]*pair{
		"balanced": r.meet(nexthop.Outside, stranger, webFrontend),
		"turned":   r.meet(nexthop.Inside, insideClient, "10.0.0.4:443"),
		"floating": r.oneWay(nexthop.Outside, "192.0.2.66:7777", directFrontend),
		"instance": r.meet(nexthop.Outside, stranger, "203.0.113.9:22"),
	}
	r.mute()
	for name, p := range pairs {
		for _, e := range []*end{p.a, p.b} {
			b := newBatch(framed(packettest.TCP(e.segment(packet.ACK, ""))))
			before := r.counters.Verdicts[Forwarded]
			if n := testing.AllocsPerRun(100, func() { r.forward(e.side, b.restore()) }); n != 0 {
				t.Errorf("%s: %v allocations for a packet of %s", name, n, e.local)
			}
			if n := r.counters.Verdicts[Forwarded] - before; n != 101 {
				t.Errorf("%s: %d packets were forwarded", name, n)
			}
		}
	}
}

// TestJudgingCostsNoAllocation: nor does what begins no flow.
func TestJudgingCostsNoAllocation(t *testing.T) {
	r := newSite(t, func(s *siteOptions) {
		s.rules.Inbound[1].ACL = nat.ACL{{Order: 1, Permit: true, Network: packettest.Addr("192.0.2.66"), Mask: packettest.Addr("255.255.255.255")}}
	})
	r.health(false, "10.0.0.10", "10.0.0.11")
	r.mute()
	r.resetLimit = newLimit(1e9, 1e9)
	for _, c := range []struct {
		want Verdict
		from nexthop.Side
		b    []byte
	}{
		{DropDenied, nexthop.Outside, syn("192.0.2.67:1", webFrontend)},
		{DropNoBackend, nexthop.Outside, syn(stranger, webFrontend)},
		{DropNoBackend, nexthop.Inside, datagram(insideClient, "10.0.0.4:53")},
		{DropNotOurs, nexthop.Outside, syn(stranger, "10.0.0.4:443")},
		{DropNotMember, nexthop.Inside, syn(insideClient, webFrontend)},
		{Reset, nexthop.Outside, packettest.TCP(packettest.Segment{Src: stranger, Dst: webFrontend, Ack: 7, Flags: packet.ACK})},
		{Reset, nexthop.Inside, packettest.TCP(packettest.Segment{Src: "10.0.0.10:8443", Dst: stranger, Ack: 7, Flags: packet.ACK})},
	} {
		b, before := newBatch(framed(c.b)), r.counters.Verdicts[c.want]
		if n := testing.AllocsPerRun(100, func() { r.forward(c.from, b.restore()) }); n != 0 {
			t.Errorf("%v: %v allocations", c.want, n)
		}
		if n := r.counters.Verdicts[c.want] - before; n != 101 {
			t.Errorf("%v: %d packets of 101", c.want, n)
		}
	}
}
