package nat_test

import (
	"testing"

	"tidegate/nat"
	"tidegate/packet"
)

// TestMembership: who comes and goes, and who has to stay.
func TestMembership(t *testing.T) {
	const leased, instance, leaves, comes packet.Addr = member, member + 1, member + 2, member + 3
	web := balanced(nat.FiveTuple, []packet.Addr{leased, leaves})
	rules := nat.Rules{
		Frontends: []packet.Addr{public}, Members: []packet.Addr{leased, leaves},
		Outbound:  []nat.OutboundRule{egress([]packet.Addr{public}, []packet.Addr{leased}, 8)},
		Inbound:   []nat.InboundRule{*web},
		Instances: []nat.Instance{{Rule: 9, Name: "pip", Public: second, Backend: instance}},
	}
	p, err := nat.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	rules.Members = []packet.Addr{comes}
	web.Pool.Backends = []nat.Backend{{Addr: comes}}
	p.Adopt(p.Membership(&rules))
	for a, want := range map[packet.Addr]bool{leased: true, instance: true, leaves: false, comes: true} {
		if p.IsMember(a) != want {
			t.Errorf("%v is a member: %t", a, !want)
		}
	}
	for a, want := range map[packet.Addr]bool{leased: false, leaves: false, comes: true} {
		if rule, ok := p.Answering(nat.Endpoint{Addr: a, Port: 8443}, packet.TCP); ok != want || ok && rule != 4 {
			t.Errorf("%v answers for rule %d, %t", a, rule, ok)
		}
	}
	if l, _ := p.Outbound(leased, packet.TCP); l == nil || l.Total() != 8 {
		t.Error("the lease is lost")
	}
}
