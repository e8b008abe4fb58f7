package nat_test

import (
	"testing"

	"tidegate/nat"
	"tidegate/packet"
)

// Rules that share a frontend share its ports: each protocol's once.
func TestRulesShareAFrontend(t *testing.T) {
	rule := func(number uint16, m packet.Addr, protocols ...packet.Protocol) nat.OutboundRule {
		return nat.OutboundRule{Rule: number, Name: "implied", Protocols: protocols,
			Frontends: []packet.Addr{public}, Members: []packet.Addr{m}, Ports: 1024}
	}
	p := policy(t, []packet.Addr{public}, []nat.OutboundRule{
		rule(0, member, packet.TCP), rule(1, another, packet.TCP), rule(2, member, packet.UDP), rule(3, member, packet.ICMP),
	}, nil)
	type port struct {
		protocol packet.Protocol
		number   int
	}
	owners := map[port]int{}
	for i, l := range p.Leases() {
		for _, b := range l.Blocks {
			for n := range b.Count {
				at := port{l.Protocol, int(b.First) + n}
				if other, taken := owners[at]; taken {
					t.Fatalf("%v port %d is lease %d's and lease %d's", at.protocol, at.number, other, i)
				}
				owners[at] = i
			}
		}
	}
	if len(owners) != 4*1024 || p.Leases()[2].Blocks[0].First != 1024 {
		t.Errorf("%d ports are given out, those of UDP from %d on", len(owners), p.Leases()[2].Blocks[0].First)
	}
}

// A range keeps the ports of members to come.
func TestReservedPortsAreNotGivenOut(t *testing.T) {
	p, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{public}, Reserved: []nat.Endpoint{{Addr: public, Port: 1030}},
		Outbound: []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 64)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if first := p.Leases()[0].Blocks[0].First; first != 1032 {
		t.Errorf("the first port given out is %d", first)
	}
}
