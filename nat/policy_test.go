package nat_test

import (
	"strings"
	"testing"

	"tidegate/nat"
	"tidegate/packet"

	"github.com/google/go-cmp/cmp"
)

var all = []packet.Protocol{packet.TCP, packet.UDP, packet.ICMP}

func egress(frontends, members []packet.Addr, ports int) nat.OutboundRule {
	return nat.OutboundRule{Rule: 1, Name: "egress", Protocols: all, Frontends: frontends, Members: members, Ports: ports}
}

func inbound(frontend packet.Addr, port uint16, proto packet.Protocol) nat.InboundRule {
	return nat.InboundRule{
		Rule: 2, Name: "ssh", Protocol: proto,
		Frontend: nat.Endpoint{Addr: frontend, Port: port}, Backend: nat.Endpoint{Addr: member, Port: 22},
	}
}

func policy(t testing.TB, frontends []packet.Addr, out []nat.OutboundRule, in []nat.InboundRule) *nat.Policy {
	t.Helper()
	p, err := nat.NewPolicy(nat.Rules{Frontends: frontends, Outbound: out, Inbound: in})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// members returns n addresses from 10.0.0.10 on.
func members(n int) (addrs []packet.Addr) {
	for i := range n {
		addrs = append(addrs, member+packet.Addr(i))
	}
	return addrs
}

// TestDeal checks for many shapes of rules that each member gets its ports, whole
// blocks and nobody else's, in order.
func TestDeal(t *testing.T) {
	for _, c := range deals {
		t.Run(c.name, func(t *testing.T) {
			p := policy(t, c.frontends, []nat.OutboundRule{egress(c.frontends, members(c.members), c.ports)}, c.in)
			for i, want := range c.want {
				l, _ := p.Outbound(member+packet.Addr(i), packet.TCP)
				if diff := cmp.Diff(want, l.Blocks); diff != "" {
					t.Errorf("member %d (-want +got):\n%s", i, diff)
				}
			}
			checkDeal(t, p, c.members, c.ports, c.in)
		})
	}
}

var deals = []struct {
	name      string
	frontends []packet.Addr
	members   int
	ports     int
	in        []nat.InboundRule
	want      [][]nat.PortBlock // of the first members
}{
	{"one", []packet.Addr{public}, 1, 1024, nil, [][]nat.PortBlock{{{Frontend: public, First: 1024, Count: 1024}}}},
	{"two", []packet.Addr{public}, 2, 8, nil, [][]nat.PortBlock{
		{{Frontend: public, First: 1024, Count: 8}},
		{{Frontend: public, First: 1032, Count: 8}},
	}},
	{"all there is", []packet.Addr{public}, 1, 64000, nil, [][]nat.PortBlock{{{Frontend: public, First: 1024, Count: 64000}}}},
	{"the last block", []packet.Addr{public}, 8000, 8, nil, nil},
	{"over two frontends", []packet.Addr{second, public}, 3, 40000, nil, [][]nat.PortBlock{
		{{Frontend: second, First: 1024, Count: 40000}},
		{{Frontend: second, First: 41024, Count: 24000}, {Frontend: public, First: 1024, Count: 16000}},
		{{Frontend: public, First: 17024, Count: 40000}},
	}},
	{"more than a frontend has", []packet.Addr{public, second, third}, 1, 150000, nil, [][]nat.PortBlock{{
		{Frontend: public, First: 1024, Count: 64000},
		{Frontend: second, First: 1024, Count: 64000},
		{Frontend: third, First: 1024, Count: 22000},
	}}},
	{"around rules' ports", []packet.Addr{public}, 2, 32, []nat.InboundRule{
		inbound(public, 1035, packet.TCP), inbound(public, 1036, packet.UDP), // in one block
		inbound(public, 1056, packet.TCP), inbound(public, 1071, packet.TCP),
		inbound(public, 80, packet.TCP), inbound(public, 1023, packet.TCP), inbound(public, 65024, packet.TCP), // in none
		inbound(second, 1024, packet.TCP), // elsewhere
	}, [][]nat.PortBlock{
		{{Frontend: public, First: 1024, Count: 8}, {Frontend: public, First: 1040, Count: 16}, {Frontend: public, First: 1072, Count: 8}},
		{{Frontend: public, First: 1080, Count: 32}},
	}},
	{"a rule's port in the last block", []packet.Addr{public}, 1, 63992, []nat.InboundRule{inbound(public, 65023, packet.TCP)},
		[][]nat.PortBlock{{{Frontend: public, First: 1024, Count: 63992}}}},
	{"a rule's port in the first block", []packet.Addr{public}, 1, 63992, []nat.InboundRule{inbound(public, 1024, packet.TCP)},
		[][]nat.PortBlock{{{Frontend: public, First: 1032, Count: 63992}}}},
}

// checkDeal goes through every port of every lease.
func checkDeal(t *testing.T, p *nat.Policy, n, ports int, in []nat.InboundRule) {
	t.Helper()
	type use struct {
		nat.Endpoint
		proto packet.Protocol
	}
	owner := make(map[use]packet.Addr)
	for _, l := range p.Leases() {
		if l.Total() != ports || l.Used() != 0 {
			t.Fatalf("%v has %d ports, %d used", l.Member, l.Total(), l.Used())
		}
		for _, b := range l.Blocks {
			if b.Count <= 0 || b.Count%8 != 0 || b.First%8 != 0 || b.First < 1024 || int(b.First)+b.Count > 65024 {
				t.Fatalf("block %+v", b)
			}
			for i := range b.Count {
				owner[use{nat.Endpoint{Addr: b.Frontend, Port: b.First + uint16(i)}, l.Protocol}] = l.Member
			}
		}
	}
	if want := 3 * n * ports; len(owner) != want {
		t.Errorf("%d ports in all, want %d: some are dealt twice", len(owner), want)
	}
	for _, r := range in {
		for _, proto := range all {
			if m := owner[use{r.Frontend, proto}]; m != 0 {
				t.Errorf("%v has the port %d of rule %s", m, r.Frontend.Port, r.Name)
			}
		}
	}
}

func TestNewPolicyErrors(t *testing.T) {
	udp := egress([]packet.Addr{second}, members(1), 8)
	udp.Name, udp.Protocols = "datagrams", []packet.Protocol{packet.UDP}
	for _, c := range []struct {
		name string
		out  []nat.OutboundRule
		in   []nat.InboundRule
		want string
	}{
		{"too many members", []nat.OutboundRule{egress([]packet.Addr{public}, members(63), 1024)}, nil, "egress: no ports left for member 10.0.0.72"},
		{"one port too many", []nat.OutboundRule{egress([]packet.Addr{public}, members(8001), 8)}, nil, "egress: no ports left"},
		{"rules' ports take the last", []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 64000)},
			[]nat.InboundRule{inbound(public, 2222, packet.TCP)}, "egress: no ports left for member 10.0.0.10"},
		{"no frontend", []nat.OutboundRule{egress(nil, members(1), 8)}, nil, "egress: no ports left"},
		{"two rules for a member", []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 8), udp}, nil, "datagrams: member 10.0.0.10 already has an outbound rule for udp"},
		{"a member twice", []nat.OutboundRule{egress([]packet.Addr{public}, []packet.Addr{member, member}, 8)}, nil, "already has"},
		{"no ports", []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 0)}, nil, "0 ports"},
		{"half a block", []nat.OutboundRule{egress([]packet.Addr{public}, members(1), 12)}, nil, "12 ports"},
		{"a negative number", []nat.OutboundRule{egress([]packet.Addr{public}, members(1), -8)}, nil, "-8 ports"},
	} {
		_, err := nat.NewPolicy(nat.Rules{Frontends: []packet.Addr{public}, Outbound: c.out, Inbound: c.in})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "nat: rule ") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestLookups asks everything that a packet asks of a Policy.
func TestLookups(t *testing.T) {
	tcp := egress([]packet.Addr{public}, members(1), 64)
	tcp.Protocols = []packet.Protocol{packet.TCP}
	udp := egress([]packet.Addr{public}, []packet.Addr{member, another}, 64)
	udp.Rule, udp.Protocols = 7, []packet.Protocol{packet.UDP, packet.ICMP}
	p := policy(t, []packet.Addr{public, second}, []nat.OutboundRule{tcp, udp}, []nat.InboundRule{
		inbound(public, 2222, packet.TCP), inbound(second, 53, packet.UDP),
	})
	for a, want := range map[packet.Addr][3]bool{ // frontend, owns its port 1024, member
		public: {true, true, false}, second: {true, false, false}, third: {}, member: {false, false, true}, another: {false, false, true}, 0: {},
	} {
		if got := [3]bool{p.IsFrontend(a), p.Owns(a, 1024), p.IsMember(a)}; got != want {
			t.Errorf("%v: %v, want %v", a, got, want)
		}
	}
	// Above the SNAT ports are those for hairpin flows, of frontends with inbound rules.
	for port, want := range map[uint16]bool{0: false, 1023: false, 1024: true, 65023: true, 65024: true, 65535: true} {
		if p.Owns(public, port) != want {
			t.Errorf("port %d is given out: %v", port, !want)
		}
	}
	checkOutbound(t, p)
	checkInbound(t, p)
}

func checkOutbound(t *testing.T, p *nat.Policy) {
	t.Helper()
	for _, c := range []struct {
		member packet.Addr
		proto  packet.Protocol
		rule   uint16
	}{
		{member, packet.TCP, 1}, {member, packet.UDP, 7}, {member, packet.ICMP, 7}, {another, packet.UDP, 7}, {another, packet.ICMP, 7},
	} {
		l, owner := p.Outbound(c.member, c.proto)
		if l == nil || owner == 0 || p.Owner(owner) != l || l.Rule != c.rule || l.Member != c.member || l.Protocol != c.proto {
			t.Errorf("%v %v: lease %+v, owner %d", c.member, c.proto, l, owner)
		}
	}
	for _, c := range []struct {
		member packet.Addr
		proto  packet.Protocol
	}{{another, packet.TCP}, {third, packet.TCP}, {public, packet.UDP}} {
		if l, owner := p.Outbound(c.member, c.proto); l != nil || owner != 0 {
			t.Errorf("%v %v leaves by lease %+v", c.member, c.proto, l)
		}
	}
	if p.Owner(0) != nil || len(p.Leases()) != 5 {
		t.Errorf("nobody owns %v; %d leases", p.Owner(0), len(p.Leases()))
	}
}

func checkInbound(t *testing.T, p *nat.Policy) {
	t.Helper()
	for _, c := range []struct {
		to    nat.Endpoint
		proto packet.Protocol
		want  bool
	}{
		{nat.Endpoint{Addr: public, Port: 2222}, packet.TCP, true},
		{nat.Endpoint{Addr: public, Port: 2222}, packet.UDP, false},
		{nat.Endpoint{Addr: public, Port: 2223}, packet.TCP, false},
		{nat.Endpoint{Addr: second, Port: 2222}, packet.TCP, false},
		{nat.Endpoint{Addr: second, Port: 53}, packet.UDP, true},
	} {
		r := p.Inbound(c.to, c.proto)
		if r != nil != c.want || r != nil && (r.Frontend != c.to || r.Backend != nat.Endpoint{Addr: member, Port: 22}) {
			t.Errorf("%v %v: %+v", c.to, c.proto, r)
		}
	}
}
