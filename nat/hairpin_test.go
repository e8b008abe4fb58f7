package nat_test

import (
	"testing"

	"pgregory.net/rapid"

	"tidegate/nat"
	"tidegate/packet"
)

const internal packet.Addr = 0x0a000004 // 10.0.0.4

// ports returns every port of a lease.
func ports(t *testing.T, l *nat.Lease) map[nat.Endpoint]bool {
	t.Helper()
	all, n := map[nat.Endpoint]bool{}, 0
	for _, b := range l.Blocks {
		for i := range b.Count {
			all[nat.Endpoint{Addr: b.Frontend, Port: b.First + uint16(i)}] = true
			n++
		}
	}
	if len(all) != n || n != l.Total() {
		t.Errorf("%d ports, %d different ones, Total %d", n, len(all), l.Total())
	}
	return all
}

// TestHairpinPorts: of an internal frontend what no rule has, of a public one what
// SNAT leaves.
func TestHairpinPorts(t *testing.T) {
	web := func(a packet.Addr, port uint16) nat.InboundRule { return inbound(a, port, packet.TCP) }
	p, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{public}, Internal: []packet.Addr{internal},
		Outbound: []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 1024)},
		Inbound:  []nat.InboundRule{web(internal, 80), web(internal, 8443), web(internal, 8441), web(internal, 65023), web(public, 443)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, proto := range all {
		l, owner := p.Hairpin(internal, proto)
		if l.Member != 0 || l.Protocol != proto || p.Owner(owner) != l {
			t.Errorf("%v: the lease is %v's for %v", proto, l.Member, l.Protocol)
		}
		got := ports(t, l)
		for port := 0; port <= 65535; port++ {
			taken := port/8 == 8441/8 || port/8 == 65023/8
			if want := port >= 1024 && port <= 65023 && !taken; got[nat.Endpoint{Addr: internal, Port: uint16(port)}] != want {
				t.Fatalf("%v: port %d is given out: %t", proto, port, !want)
			}
		}
		l, _ = p.Hairpin(public, proto)
		got = ports(t, l)
		for port := range 65536 {
			if want := port >= 65024; got[nat.Endpoint{Addr: public, Port: uint16(port)}] != want {
				t.Fatalf("%v: port %d of the public frontend is given out: %t", proto, port, !want)
			}
		}
	}
}

// TestHairpinLeaseIsMadeOnce, and is not one of the leases before it.
func TestHairpinLeaseIsMadeOnce(t *testing.T) {
	p := policy(t, []packet.Addr{public, second}, []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 8)}, nil)
	before := len(p.Leases())
	owners := map[uint32]bool{}
	for range 2 {
		for _, a := range []packet.Addr{public, second} {
			for _, proto := range all {
				_, owner := p.Hairpin(a, proto)
				owners[owner] = true
			}
		}
	}
	if len(owners) != 6 || len(p.Leases()) != before+6 || owners[0] {
		t.Errorf("owners %v, %d leases after %d", owners, len(p.Leases()), before)
	}
	for i, l := range p.Leases() {
		if hairpin := owners[uint32(i+1)]; hairpin != (l.Member == 0) || hairpin != (i >= before) {
			t.Errorf("lease %d is %v's", i, l.Member)
		}
	}
}

// TestHairpinPortsArePerDestination, for UDP too: one port serves every backend.
func TestHairpinPortsArePerDestination(t *testing.T) {
	for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
		p := policy(t, []packet.Addr{public}, nil, []nat.InboundRule{inbound(public, 443, proto)})
		l, _ := p.Hairpin(public, proto)
		tr, flows := newTracker(), []flow{}
		for to := range 3 {
			got := map[nat.Endpoint]bool{}
			for i := range 512 {
				f, _, ok := tr.open(l, tuple(proto, member+packet.Addr(i), 5000, remote(to)), 0)
				if !ok || got[f.ext] {
					t.Fatalf("%v: flow %d to backend %d gets %v, %t", proto, i, to, f.ext, ok)
				}
				got[f.ext] = true
				flows = append(flows, f)
			}
			k := tuple(proto, another, 1, remote(to))
			if _, _, ok := tr.open(l, k, 0); ok {
				t.Errorf("%v: one flow too many to backend %d", proto, to)
			}
			if _, ok := l.Offer(&k, tr, 0); ok {
				t.Errorf("%v: one is offered where none is", proto)
			}
		}
		for _, f := range flows {
			tr.close(l, f)
		}
		if l.Used() != 0 {
			t.Errorf("%v: %d ports are still in use", proto, l.Used())
		}
	}
}

// TestOfferTakesNothing: what is offered could be had, and still can.
func TestOfferTakesNothing(t *testing.T) {
	for _, proto := range all {
		l, tr := newLease(t, proto, 8), newTracker()
		for i := range uint16(8) {
			k := tuple(proto, member, 5000+i, remote(1))
			for range 20 {
				ext, ok := l.Offer(&k, tr, 0)
				if owns := ext.Addr == public && ext.Port >= 1024 && ext.Port < 1032; !ok || !owns || l.Used() != int(i) || l.Opened() != uint64(i) || l.Failed != 0 {
					t.Fatalf("%v: offered %v, %t; %d in use, %d opened, %d failed", proto, ext, ok, l.Used(), l.Opened(), l.Failed)
				}
			}
			tr.open(l, k, 0)
		}
		k := tuple(proto, member, 6000, remote(1))
		if ext, ok := l.Offer(&k, tr, 0); ok || l.Failed != 0 || l.Refused != (nat.Endpoint{}) {
			t.Errorf("%v: a ninth, %v, is offered: %t; %d failed", proto, ext, ok, l.Failed)
		}
		if k = tuple(proto, member, 5003, remote(2)); proto != packet.TCP {
			want, _ := l.Offer(&k, tr, 0)
			if f, _, _ := tr.open(l, k, 0); f.ext != want {
				t.Errorf("%v: a mapping was offered as %v and is %v", proto, want, f.ext)
			}
		}
	}
}

// TestTenant compares with a search through all that was dealt out.
func TestTenant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []nat.InboundRule
		for _, port := range rapid.SliceOfN(rapid.Uint16Range(1000, 1400), 0, 6).Draw(t, "rule ports") {
			in = append(in, inbound(public, port, packet.TCP))
		}
		one := egress([]packet.Addr{second, public}, members(rapid.IntRange(1, 20).Draw(t, "members")), 8*rapid.IntRange(1, 40).Draw(t, "blocks"))
		other := nat.OutboundRule{
			Rule: 7, Name: "other", Protocols: rapid.SampledFrom([][]packet.Protocol{{packet.TCP}, {packet.UDP}, all}).Draw(t, "protocols"),
			Frontends: []packet.Addr{third}, Members: []packet.Addr{0x0a000101, 0x0a000102}, Ports: 64,
		}
		p, err := nat.NewPolicy(nat.Rules{
			Frontends: []packet.Addr{public, second, third}, Outbound: []nat.OutboundRule{one, other}, Inbound: in,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []packet.Addr{0, public - 1, public, second, third, third + 1} {
			for port := 900; port < 4500; port++ {
				sameTenant(t, p, nat.Endpoint{Addr: a, Port: uint16(port)})
			}
			sameTenant(t, p, nat.Endpoint{Addr: a, Port: 65535})
			sameTenant(t, p, nat.Endpoint{Addr: a, Port: 0})
		}
	})
}

func sameTenant(t *rapid.T, p *nat.Policy, e nat.Endpoint) {
	var want *nat.Lease
	for _, l := range p.Leases() {
		for _, b := range l.Blocks {
			if l.Protocol == packet.TCP && b.Frontend == e.Addr && e.Port >= b.First && int(e.Port) < int(b.First)+b.Count {
				want = l
			}
		}
	}
	if got := p.Tenant(e, packet.TCP); got != want {
		t.Fatalf("%v is of lease %+v; want %+v", e, got, want)
	}
}

// TestOwns: which ports of a frontend the host does not get.
func TestOwns(t *testing.T) {
	p, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{public, second}, Internal: []packet.Addr{internal, internal + 1},
		Outbound: []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 8)},
		Inbound:  []nat.InboundRule{inbound(second, 443, packet.TCP), inbound(internal, 443, packet.TCP)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[packet.Addr][5]bool{ // 443, 1024, 65023, 65024, 65535
		public: {false, true, true, false, false}, second: {false, false, false, true, true},
		internal: {false, true, true, false, false}, internal + 1: {}, third: {},
	} {
		for i, port := range []uint16{443, 1024, 65023, 65024, 65535} {
			if p.Owns(a, port) != want[i] {
				t.Errorf("%v:%d is given out: %t", a, port, !want[i])
			}
		}
	}
}
