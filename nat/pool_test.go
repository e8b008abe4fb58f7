package nat_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/nat"
	"tidegate/packet"
)

func address(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

func prefix(s string) (network, mask packet.Addr) {
	p := netip.MustParsePrefix(s)
	return packet.AddrFrom(p.Addr()), packet.Addr(^uint32(0) << (32 - p.Bits()))
}

func TestEligible(t *testing.T) {
	const a, b, c, d packet.Addr = 1, 2, 3, 4
	backends := []nat.Backend{{d, nat.AdminNone}, {b, nat.AdminDown}, {c, nat.AdminUp}, {a, nat.AdminNone}, {a, nat.AdminNone}}
	for _, tt := range []struct {
		name  string
		probe string
		last  bool
		up    []packet.Addr
		of    []nat.Backend
		want  []packet.Addr
	}{
		{"all answer", "http", false, []packet.Addr{a, b, c, d}, backends, []packet.Addr{a, c, d}},
		{"none answers", "http", false, nil, backends, []packet.Addr{c}},
		{"none answers, one is set up", "http", true, nil, backends, []packet.Addr{c}},
		{"the one that is set down", "http", false, []packet.Addr{b}, backends, []packet.Addr{c}},
		{"some answer", "http", false, []packet.Addr{d, b}, backends, []packet.Addr{c, d}},
		{"no probe", "", false, nil, backends, []packet.Addr{a, c, d}},
		{"no probe, last resort", "", true, nil, backends, []packet.Addr{a, c, d}},
		{"nobody left", "http", false, nil, backends[:2], []packet.Addr{}},
		{"last resort: all but those set down", "http", true, nil, backends[:2], []packet.Addr{d}},
		{"last resort is not yet", "http", true, []packet.Addr{a}, []nat.Backend{{a, 0}, {d, 0}}, []packet.Addr{a}},
		{"all set down", "http", true, []packet.Addr{b}, backends[1:2], []packet.Addr{}},
		{"empty", "http", true, nil, nil, []packet.Addr{}},
	} {
		p := nat.Pool{Name: "vms", Probe: tt.probe, LastResort: tt.last, Backends: tt.of}
		got := p.Eligible(func(x packet.Addr) bool { return slices.Contains(tt.up, x) })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestHas(t *testing.T) {
	p := nat.Pool{Backends: []nat.Backend{{1, nat.AdminNone}, {2, nat.AdminUp}, {3, nat.AdminDown}}}
	for a, want := range map[packet.Addr]bool{0: false, 1: true, 2: true, 3: false, 4: false} {
		if p.Has(a) != want {
			t.Errorf("%v is a backend: %t", a, !want)
		}
	}
}

func TestAdminStateNames(t *testing.T) {
	for s, want := range map[nat.AdminState]string{nat.AdminNone: "None", nat.AdminUp: "Up", nat.AdminDown: "Down"} {
		if s.String() != want {
			t.Errorf("%d is %q, want %q", s, s, want)
		}
	}
}

// TestInboundLookup: a port of one's own comes before HA ports, per protocol.
func TestInboundLookup(t *testing.T) {
	at := func(name string, a packet.Addr, port uint16, proto packet.Protocol) nat.InboundRule {
		return nat.InboundRule{Name: name, Protocol: proto, Frontend: nat.Endpoint{Addr: a, Port: port}}
	}
	p := policy(t, []packet.Addr{public, second, third}, nil, []nat.InboundRule{
		at("any", public, 0, packet.TCP), at("web", public, 443, packet.TCP), at("any UDP", public, 0, packet.UDP),
		at("dns", second, 53, packet.UDP),
	})
	for _, c := range []struct {
		to    nat.Endpoint
		proto packet.Protocol
		want  string
	}{
		{nat.Endpoint{Addr: public, Port: 443}, packet.TCP, "web"},
		{nat.Endpoint{Addr: public, Port: 444}, packet.TCP, "any"},
		{nat.Endpoint{Addr: public, Port: 0}, packet.TCP, "any"},
		{nat.Endpoint{Addr: public, Port: 65535}, packet.TCP, "any"},
		{nat.Endpoint{Addr: public, Port: 443}, packet.UDP, "any UDP"},
		{nat.Endpoint{Addr: public, Port: 443}, packet.ICMP, ""},
		{nat.Endpoint{Addr: second, Port: 53}, packet.UDP, "dns"},
		{nat.Endpoint{Addr: second, Port: 53}, packet.TCP, ""},
		{nat.Endpoint{Addr: second, Port: 54}, packet.UDP, ""},
		{nat.Endpoint{Addr: third, Port: 443}, packet.TCP, ""},
	} {
		got := ""
		if r := p.Inbound(c.to, c.proto); r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("%v %v: rule %q, want %q", c.proto, c.to, got, c.want)
		}
	}
}

// TestAnswering: who answers for which rule, as far as a port tells it.
func TestAnswering(t *testing.T) {
	web, udp, floating, any := balanced(nat.FiveTuple, members(2)), balanced(nat.FiveTuple, members(2)), balanced(nat.FiveTuple, members(2)), balanced(nat.FiveTuple, members(2))
	udp.Rule, udp.Protocol, udp.Backend.Port = 5, packet.UDP, 53
	floating.Rule, floating.Floating, floating.Frontend, floating.Backend.Port = 6, true, nat.Endpoint{Addr: second, Port: 443}, 443
	any.Rule, any.Frontend, any.Backend.Port = 7, nat.Endpoint{Addr: third}, 0
	p := policy(t, []packet.Addr{public, second, third}, nil, []nat.InboundRule{*web, *udp, *floating, *any, inbound(public, 2222, packet.TCP)})
	for _, c := range []struct {
		from  nat.Endpoint
		proto packet.Protocol
		want  uint16 // 0: none
	}{
		{nat.Endpoint{Addr: member, Port: 8443}, packet.TCP, 4},
		{nat.Endpoint{Addr: another, Port: 8443}, packet.TCP, 4},
		{nat.Endpoint{Addr: member + 2, Port: 8443}, packet.TCP, 0},
		{nat.Endpoint{Addr: member, Port: 8443}, packet.UDP, 0},
		{nat.Endpoint{Addr: member, Port: 8444}, packet.TCP, 0},
		{nat.Endpoint{Addr: another, Port: 53}, packet.UDP, 5},
		{nat.Endpoint{Addr: second, Port: 443}, packet.TCP, 6},
		{nat.Endpoint{Addr: member, Port: 443}, packet.TCP, 0},
		{nat.Endpoint{Addr: member, Port: 22}, packet.TCP, 2},
		{nat.Endpoint{Addr: another, Port: 22}, packet.TCP, 0},
		{nat.Endpoint{Addr: member, Port: 0}, packet.TCP, 0},
	} {
		if got, ok := p.Answering(c.from, c.proto); got != c.want || ok != (c.want != 0) {
			t.Errorf("%v %v answers for rule %d, %t; want %d", c.proto, c.from, got, ok, c.want)
		}
	}
}

func TestInstances(t *testing.T) {
	p, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{public}, Members: []packet.Addr{another},
		Instances: []nat.Instance{{Rule: 9, Name: "pip", Public: second, Backend: member}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if at, of := p.InstanceAt(second), p.InstanceOf(member); at == nil || at != of || at.Rule != 9 {
		t.Errorf("at its address %v, of its backend %v", at, of)
	}
	if p.InstanceAt(public) != nil || p.InstanceAt(member) != nil || p.InstanceOf(another) != nil || p.InstanceOf(second) != nil {
		t.Error("others have it too")
	}
	if !p.IsFrontend(second) || p.IsInternal(second) || !p.IsMember(member) {
		t.Errorf("frontend %t, internal %t, member %t", p.IsFrontend(second), p.IsInternal(second), p.IsMember(member))
	}
	if l, owner := p.Outbound(member, packet.TCP); l != nil || owner != 0 {
		t.Error("it has SNAT ports as well")
	}
}
