package nat_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidegate/nat"
	"tidegate/packet"
)

// reign is a policy in force and the flows that it has ports given to.
type reign struct {
	policy *nat.Policy
	rules  nat.Rules
	tr     *tracker
	flows  []held
	now    int64
}

type held struct {
	flow
	owner  uint32
	member packet.Addr
}

var allProtocols = []packet.Protocol{packet.TCP, packet.UDP, packet.ICMP}

func newReign(t interface{ Fatal(...any) }, r nat.Rules) *reign {
	p, err := nat.NewPolicy(r)
	if err != nil {
		t.Fatal(err)
	}
	return &reign{policy: p, rules: r, tr: newTracker()}
}

// change puts other rules in force.
func (g *reign) change(r nat.Rules) error {
	next, err := nat.Next(r, g.policy.Dealt())
	if err != nil {
		return err
	}
	next.Succeed(g.policy)
	g.policy, g.rules = next, r
	return nil
}

// open opens a flow, if its member has a port for it; the flow is nil otherwise.
func (g *reign) open(t interface{ Fatalf(string, ...any) }, k packet.Tuple) *held {
	l, owner := g.policy.Outbound(k.Src, k.Proto)
	if l == nil || slices.ContainsFunc(g.flows, func(f held) bool { return f.original == k }) {
		return nil
	}
	g.now += 1e9
	f, evicted, ok := g.tr.open(l, k, g.now)
	if !ok {
		return nil
	}
	if evicted {
		t.Fatalf("%v evicts", k)
	}
	if !slices.Contains(g.rules.Frontends, f.ext.Addr) {
		t.Fatalf("%v leaves by %v, which is the gateway's no longer", k, f.ext)
	}
	g.flows = append(g.flows, held{f, owner, k.Src})
	return &g.flows[len(g.flows)-1]
}

func (g *reign) close(i int) {
	f := g.flows[i]
	g.flows = slices.Delete(g.flows, i, i+1)
	delete(g.tr.flows, f.reply())
	g.policy.Release(f.owner, f.ext, f.original.SrcPort)
}

// check holds the policy against the list of flows.
func (g *reign) check(t interface{ Fatalf(string, ...any) }) {
	type port struct {
		nat.Endpoint
		packet.Protocol
	}
	used, draining := make(map[uint32]map[nat.Endpoint]bool), make(map[port]bool)
	mapped := make(map[port]nat.Endpoint)
	for _, f := range g.flows {
		l, at := g.policy.Owner(f.owner), port{f.ext, f.original.Proto}
		if l == nil || l.Member != f.member || l.Protocol != f.original.Proto {
			t.Fatalf("owner %d of a flow of %v is %+v", f.owner, f.member, l)
		}
		if owns(l, f.ext) {
			if used[f.owner] == nil {
				used[f.owner] = make(map[nat.Endpoint]bool)
			}
			used[f.owner][f.ext] = true
		} else {
			draining[at] = true
		}
		own := nat.Endpoint{Addr: f.original.Src, Port: f.original.SrcPort}
		if other, there := mapped[at]; there && other != own && f.original.Proto != packet.TCP {
			t.Fatalf("%v and %v are both mapped to %v", own, other, f.ext)
		}
		mapped[at] = own
	}
	for i := range uint32(100) {
		if i >= uint32(len(g.policy.Leases())) {
			break
		}
		if l := g.policy.Owner(i + 1); l != nil && l.Used() != len(used[i+1]) {
			t.Fatalf("lease %d of %v %v: %d used, want %d", i+1, l.Member, l.Protocol, l.Used(), len(used[i+1]))
		}
	}
	if g.policy.Draining() < len(draining) { // TCP flows of two may drain from one port
		t.Fatalf("%d ports drain, want %d", g.policy.Draining(), len(draining))
	}
}

// anyRules draws a small world, so that ports change hands often.
func anyRules(t *rapid.T) nat.Rules {
	frontends := [][]packet.Addr{{public}, {second}, {public, second}, {second, public}}[rapid.IntRange(0, 3).Draw(t, "frontends")]
	rule := egress(frontends, nil, 8*rapid.SampledFrom([]int{1, 2, 3, 2000, 4000}).Draw(t, "blocks"))
	rule.Protocols = allProtocols
	for _, m := range members(4) {
		if rapid.Bool().Draw(t, "member") {
			rule.Members = append(rule.Members, m)
		}
	}
	r := nat.Rules{Frontends: []packet.Addr{public, second}, Outbound: []nat.OutboundRule{rule}}
	if rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
		r.Frontends = frontends // the other address is the gateway's no longer
	}
	if rapid.Bool().Draw(t, "inbound") {
		r.Inbound = append(r.Inbound, inbound(r.Frontends[0], rapid.Uint16Range(1024, 1080).Draw(t, "port"), packet.TCP))
	}
	return r
}

// Whatever the rules become, a flow keeps its port, and nobody else gets it as long as
// that would make two mappings one; when all have ended nothing is left of them.
func TestSuccession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := anyRules(t)
		rules.Outbound[0].Ports = 16
		g := newReign(t, rules)
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				_ = g.change(anyRules(t)) // what is too much is refused, and changes nothing
			},
			"open": func(t *rapid.T) {
				m := rapid.SampledFrom(members(4)).Draw(t, "member")
				proto := rapid.SampledFrom(allProtocols).Draw(t, "protocol")
				for port := range rapid.Uint16Range(1, 30).Draw(t, "flows") {
					g.open(t, tuple(proto, m, port, remote(rapid.IntRange(0, 2).Draw(t, "remote"))))
				}
			},
			"close": func(t *rapid.T) {
				for range rapid.IntRange(0, 20).Draw(t, "flows") {
					if n := len(g.flows); n > 0 {
						g.close(rapid.IntRange(0, n-1).Draw(t, "flow"))
					}
				}
			},
			"": func(t *rapid.T) { g.check(t) },
		})
		for len(g.flows) > 0 {
			g.close(0)
		}
		g.check(t)
		if g.policy.Draining() != 0 {
			t.Fatalf("%d ports drain without flows", g.policy.Draining())
		}
		g.fill(t)
	})
}

// fill has every member use each of its ports, which only works if none is kept back.
func (g *reign) fill(t *rapid.T) {
	for _, l := range g.policy.Leases() {
		if l.Protocol != packet.UDP || l.Total() > 100 {
			continue
		}
		for i := range l.Total() {
			if g.open(t, tuple(packet.UDP, l.Member, uint16(1+i), remote(0))) == nil {
				t.Fatalf("%v gets %d of its %d ports", l.Member, i, l.Total())
			}
		}
	}
}

func blocksOf(p *nat.Policy, m packet.Addr) (all []nat.PortBlock) {
	l, _ := p.Outbound(m, packet.UDP)
	for _, b := range l.Blocks {
		all = append(all, nat.PortBlock{Frontend: b.Frontend, First: b.First, Count: b.Count})
	}
	return all
}

// Members keep their ports when others come and go, and when the allocation grows or
// shrinks.
func TestPortsStay(t *testing.T) {
	four := members(4)
	rule := func(m []packet.Addr, n int) nat.Rules {
		r := egress([]packet.Addr{public}, m, n)
		r.Protocols = allProtocols
		return nat.Rules{Frontends: []packet.Addr{public}, Outbound: []nat.OutboundRule{r}}
	}
	g := newReign(t, rule(four[1:3], 16))
	steps := []struct {
		name    string
		rules   nat.Rules
		member  packet.Addr
		first   []uint16
		lengths []int
	}{
		{"at first", g.rules, four[1], []uint16{1024}, []int{16}},
		{"one comes before it", rule(four[:3], 16), four[1], []uint16{1024}, []int{16}},
		{"and gets what is left", g.rules, four[0], nil, nil},
		{"another leaves", rule(four[:2], 16), four[1], []uint16{1024}, []int{16}},
		{"more ports", rule(four[:2], 24), four[1], []uint16{1024, 1048}, []int{16}},
		{"fewer", rule(four[:2], 8), four[1], []uint16{1024}, []int{8}},
	}
	for _, s := range steps {
		if s.first == nil {
			if got := blocksOf(g.policy, s.member); got[0].First != 1056 {
				t.Errorf("%s: %v", s.name, got)
			}
			continue
		}
		if err := g.change(s.rules); err != nil {
			t.Fatal(s.name, err)
		}
		got := blocksOf(g.policy, s.member)
		if len(got) != len(s.first) || got[0].First != s.first[0] || got[0].Count != s.lengths[0] {
			t.Errorf("%s: %v", s.name, got)
		}
	}
}

// A mapping lives on in a port that its member owns no longer, new flows of the same
// endpoint included (RFC 4787 REQ-1), and the new owner has to do without it so long.
func TestMappingDrains(t *testing.T) {
	two := members(2)
	rule := func(m ...packet.Addr) nat.Rules {
		r := egress([]packet.Addr{public}, m, 8)
		r.Protocols = allProtocols
		return nat.Rules{Frontends: []packet.Addr{public}, Outbound: []nat.OutboundRule{r}, Members: two,
			Inbound: []nat.InboundRule{inbound(public, 1032, packet.TCP)}}
	}
	full := rule(two[0])
	full.Outbound[0].Ports = 63_992
	g := newReign(t, full)
	var f *held
	for port := uint16(1); f == nil || f.ext.Port < 2000; port++ {
		f = g.open(t, tuple(packet.UDP, two[0], port, remote(0)))
	}
	was := *f
	half := rule(two...)
	half.Outbound[0].Ports = 31_992
	if err := g.change(half); err != nil {
		t.Fatal(err)
	}
	again := g.open(t, tuple(packet.UDP, two[0], was.original.SrcPort, remote(1)))
	if again == nil || again.ext != was.ext {
		t.Fatalf("%v, then %+v", was.ext, again)
	}
	lease, _ := g.policy.Outbound(two[1], packet.UDP)
	if owns(lease, was.ext) {
		if at, ok := g.policy.Tenant(was.ext, packet.UDP).Mapped(was.ext); !ok || at.Addr != two[0] {
			t.Errorf("a peer that asks for %v is led to %v", was.ext, at)
		}
	}
	g.check(t)
}

// What is too much for all to keep their ports is dealt anew; what is too much
// altogether is refused.
func TestDealtAnew(t *testing.T) {
	tcp, udp := egress([]packet.Addr{public}, members(2)[:1], 32_000), egress([]packet.Addr{public}, members(2)[1:], 32_000)
	tcp.Protocols, udp.Protocols = []packet.Protocol{packet.TCP}, []packet.Protocol{packet.UDP}
	both := egress([]packet.Addr{public}, members(4)[2:3], 32_000)
	both.Protocols = allProtocols
	g := newReign(t, nat.Rules{Frontends: []packet.Addr{public}, Outbound: []nat.OutboundRule{tcp, udp, both}})
	big := both
	big.Ports = 64_000
	if err := g.change(nat.Rules{Frontends: []packet.Addr{public}, Outbound: []nat.OutboundRule{big}}); err != nil {
		t.Error(err)
	}
	big.Members = members(2)
	before := g.policy
	if err := g.change(nat.Rules{Frontends: []packet.Addr{public}, Outbound: []nat.OutboundRule{big}}); err == nil || g.policy != before {
		t.Error("128,000 ports of 64,000 are dealt out")
	}
}

// A mapping to an address that is the gateway's no longer ends with it, not with the
// flows that have it yet, and their ends are not taken for those of the new one's.
func TestMappingOfLostAddress(t *testing.T) {
	one := members(1)
	rules := func(frontend packet.Addr) nat.Rules {
		r := egress([]packet.Addr{frontend}, one, 8)
		r.Protocols = []packet.Protocol{packet.UDP}
		return nat.Rules{Frontends: []packet.Addr{frontend}, Outbound: []nat.OutboundRule{r}}
	}
	g := newReign(t, rules(public))
	g.open(t, tuple(packet.UDP, one[0], 1, remote(0)))
	g.open(t, tuple(packet.UDP, one[0], 1, remote(1)))
	if err := g.change(rules(second)); err != nil {
		t.Fatal(err)
	}
	now := *g.open(t, tuple(packet.UDP, one[0], 1, remote(2)))
	g.close(0)
	g.close(0)
	if again := g.open(t, tuple(packet.UDP, one[0], 1, remote(3))); again.ext != now.ext || now.ext.Addr != second {
		t.Errorf("%v, then %v", now.ext, again.ext)
	}
	g.check(t)
}

// A member whose ports others have not left yet is refused at once.
func TestRefusedWhileOthersLeave(t *testing.T) {
	two := members(2)
	rules := func(m packet.Addr) nat.Rules {
		r := egress([]packet.Addr{public}, []packet.Addr{m}, 64_000)
		r.Protocols = []packet.Protocol{packet.UDP}
		return nat.Rules{Frontends: []packet.Addr{public}, Outbound: []nat.OutboundRule{r}}
	}
	g := newReign(t, rules(two[0]))
	l, _ := g.policy.Outbound(two[0], packet.UDP)
	for port := range uint16(64_000) {
		f := tuple(packet.UDP, two[0], port, remote(0))
		ext, _, _ := l.Allocate(&f, 0, g.tr, 0)
		l.Hold(ext, port)
	}
	if err := g.change(rules(two[1])); err != nil {
		t.Fatal(err)
	}
	l, _ = g.policy.Outbound(two[1], packet.UDP)
	k := tuple(packet.UDP, two[1], 1, remote(0))
	if took := testing.AllocsPerRun(1000, func() { l.Allocate(&k, 0, g.tr, 0) }); took != 0 {
		t.Errorf("%v allocations", took)
	}
	start := time.Now()
	for range 10_000 { // at 150 µs each, as long as a search takes, they would take 1.5 s
		if _, _, ok := l.Allocate(&k, 0, g.tr, 0); ok {
			t.Fatal("it gets a port that another's mapping has")
		}
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("10,000 refusals took %v", took)
	}
}
