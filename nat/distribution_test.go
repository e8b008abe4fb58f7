package nat_test

import (
	"testing"

	"tidegate/nat"
	"tidegate/packet"
)

// TestDistributions changes one thing of a flow at a time: what a distribution
// doesn't look at moves nothing, what it looks at moves most.
func TestDistributions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(k *packet.Tuple, i uint16)
		moves  map[nat.Distribution]bool
	}{
		{"client's port", func(k *packet.Tuple, i uint16) { k.SrcPort += i }, map[nat.Distribution]bool{nat.FiveTuple: true}},
		{"frontend's port", func(k *packet.Tuple, i uint16) { k.DstPort += i }, map[nat.Distribution]bool{nat.FiveTuple: true}},
		{"protocol", func(k *packet.Tuple, _ uint16) { k.Proto ^= packet.TCP ^ packet.UDP },
			map[nat.Distribution]bool{nat.FiveTuple: true, nat.ThreeTuple: true}},
		{"client", func(k *packet.Tuple, i uint16) { k.Src += packet.Addr(i) },
			map[nat.Distribution]bool{nat.FiveTuple: true, nat.TwoTuple: true, nat.ThreeTuple: true}},
		{"frontend", func(k *packet.Tuple, i uint16) { k.Dst += packet.Addr(i) },
			map[nat.Distribution]bool{nat.FiveTuple: true, nat.TwoTuple: true, nat.ThreeTuple: true}},
	} {
		for name, d := range distributions {
			r, moved := balanced(d, members(10)), 0
			for i := range uint16(1000) {
				k := tuple(packet.TCP, 0xc0000242+packet.Addr(i)<<8, 6666, nat.Endpoint{Addr: public, Port: 443})
				was := choose(t, r, k)
				if c.change(&k, i+1); choose(t, r, k) != was {
					moved++
				}
			}
			// One of ten stays by chance: of 1,000 flows 900 ± 10 move.
			if min, max := 840, 960; c.moves[d] && (moved < min || moved > max) || !c.moves[d] && moved != 0 {
				t.Errorf("%s: with another %s %d of 1000 flows move", name, c.name, moved)
			}
		}
	}
}

// TestRulesAgree: SourceIP brings a client to the same backend by every rule of a
// frontend and a pool, so that a port for control and one for data meet.
func TestRulesAgree(t *testing.T) {
	one := balanced(nat.TwoTuple, members(10))
	other := *one
	other.Rule, other.Protocol, other.Frontend.Port, other.Backend.Port = 5, packet.UDP, 5000, 0
	for i := range packet.Addr(1000) {
		control := tuple(packet.TCP, 0xc0000242+i, 6666, one.Frontend)
		data := tuple(packet.UDP, 0xc0000242+i, uint16(i), other.Frontend)
		if a, b := choose(t, one, control), choose(t, &other, data); a != b {
			t.Fatalf("%v goes to %v by one rule and to %v by the other", control.Src, a, b)
		}
	}
}

// TestChoosePort: the rule's, or with port 0 that which the packet went to.
func TestChoosePort(t *testing.T) {
	k := tuple(packet.TCP, 0xc0000242, 6666, nat.Endpoint{Addr: public, Port: 443})
	for _, c := range []struct {
		name string
		rule nat.InboundRule
		want nat.Endpoint
		ok   bool
	}{
		{"NAT rule", nat.InboundRule{Backend: nat.Endpoint{Addr: member, Port: 22}}, nat.Endpoint{Addr: member, Port: 22}, true},
		{"NAT rule, any port", nat.InboundRule{Backend: nat.Endpoint{Addr: member}}, nat.Endpoint{Addr: member, Port: 443}, true},
		{"pool, before there is a choice", nat.InboundRule{Pool: &nat.Pool{}}, nat.Endpoint{Port: 443}, false},
		{"pool of one", *balanced(nat.FiveTuple, members(1)), nat.Endpoint{Addr: member, Port: 8443}, true},
		{"empty pool", *balanced(nat.FiveTuple, nil), nat.Endpoint{Port: 8443}, false},
	} {
		if got, ok := c.rule.Choose(&k); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %v, %t", c.name, got, ok)
		}
	}
}

func TestACL(t *testing.T) {
	entry := func(order int, permit bool, network string) nat.ACLEntry {
		n, m := prefix(network)
		return nat.ACLEntry{Order: order, Permit: permit, Network: n, Mask: m}
	}
	office, branch := entry(100, true, "198.51.100.0/24"), entry(50, false, "198.51.100.64/26")
	for _, c := range []struct {
		name string
		acl  nat.ACL
		want map[string]bool
	}{
		{"none", nil, map[string]bool{"198.51.100.7": true, "0.0.0.0": true, "255.255.255.255": true}},
		{"none, but a list", nat.ACL{}, map[string]bool{"198.51.100.7": true}},
		{"one permits", nat.ACL{office}, map[string]bool{
			"198.51.100.0": true, "198.51.100.255": true, "198.51.99.255": false, "198.51.101.0": false,
		}},
		{"one denies: who permits the rest?", nat.ACL{branch}, map[string]bool{"198.51.100.64": false, "192.0.2.1": false}},
		{"deny before permit", nat.ACL{branch, office}, map[string]bool{
			"198.51.100.63": true, "198.51.100.64": false, "198.51.100.127": false, "198.51.100.128": true, "192.0.2.1": false,
		}},
		{"permit before deny", nat.ACL{office, branch}, map[string]bool{"198.51.100.64": true, "192.0.2.1": false}},
		{"deny some, permit the rest", nat.ACL{branch, entry(200, true, "0.0.0.0/0")}, map[string]bool{
			"198.51.100.64": false, "198.51.100.63": true, "192.0.2.1": true,
		}},
		{"deny all", nat.ACL{entry(1, false, "0.0.0.0/0"), office}, map[string]bool{"198.51.100.7": false}},
		{"one host", nat.ACL{entry(1, true, "192.0.2.66/32")}, map[string]bool{"192.0.2.66": true, "192.0.2.67": false}},
	} {
		for client, want := range c.want {
			if got := c.acl.Permits(address(client)); got != want {
				t.Errorf("%s: %s may begin a flow: %t", c.name, client, got)
			}
		}
	}
}
