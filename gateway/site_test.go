package gateway

import (
	"slices"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// A site is a rig with rules of every kind:
//
//	10.0.0.10, .11 (pool vms), .20 (own address .9) ┐          ┌ 10.0.0.4, .5 (internal)
//	10.0.0.30 (pool member without outbound rule)   ├ inside [ ┤                            ] outside
//	10.0.0.50 (in no pool)                          ┘          └ 203.0.113.5, .6, .9 (public)
const (
	ruleWeb    = 2 + iota // .6:443 → vms:8443, TCP
	ruleDNS               // .6:53 → vms:53, UDP, SourceIP
	ruleDirect            // .6:8080 → vms, floating
	ruleExact             // 10.0.0.4:443 → vms:8443
	ruleAny               // 10.0.0.4, every other port, TCP and UDP
	ruleInner             // 10.0.0.5:80 → vms:8080, floating
	rulePIP               // 203.0.113.9 ↔ 10.0.0.20
	siteRules
)

const (
	webFrontend    = "203.0.113.6:443"
	dnsFrontend    = "203.0.113.6:53"
	directFrontend = "203.0.113.6:8080"
	innerFrontend  = "10.0.0.5:80"
	insideClient   = "10.0.0.50:5000" // in no pool
	ruleless       = "10.0.0.30:5000" // in a pool without outbound rule
	pipAddr        = "203.0.113.9"
	pipBackend     = "10.0.0.20"
)

var (
	internalAddr = packettest.Addr("10.0.0.4")
	directAddr   = packettest.Addr("10.0.0.5")
	bothBackends = []nat.Backend{{Addr: memberAddr}, {Addr: otherMember}}
)

// siteRule returns a load-balancing rule over the pool.
func siteRule(rule uint16, proto packet.Protocol, frontend string, port, backendPort uint16, p *nat.Pool) nat.InboundRule {
	return nat.InboundRule{
		Rule: rule, Name: "lb", Protocol: proto, Pool: p,
		Frontend: nat.Endpoint{Addr: packettest.Addr(frontend), Port: port}, Backend: nat.Endpoint{Port: backendPort},
	}
}

func siteInbound(p *nat.Pool) []nat.InboundRule {
	dns := siteRule(ruleDNS, packet.UDP, "203.0.113.6", 53, 53, p)
	dns.Distribution = nat.TwoTuple
	direct := siteRule(ruleDirect, packet.TCP, "203.0.113.6", 8080, 8080, p)
	inner := siteRule(ruleInner, packet.TCP, "10.0.0.5", 80, 8080, p)
	direct.Floating, inner.Floating = true, true
	return []nat.InboundRule{
		ssh(), siteRule(ruleWeb, packet.TCP, "203.0.113.6", 443, 8443, p), dns, direct,
		siteRule(ruleExact, packet.TCP, "10.0.0.4", 443, 8444, p), inner,
		siteRule(ruleAny, packet.TCP, "10.0.0.4", 0, 0, p), siteRule(ruleAny, packet.UDP, "10.0.0.4", 0, 0, p),
	}
}

// siteOptions are what a test may change before the rig is made.
type siteOptions struct {
	*Options
	rules nat.Rules
	pool  *nat.Pool
	probe bool // leave the backends' health to the test
}

func siteChange(t testing.TB, o *Options, change []func(*siteOptions)) (s siteOptions) {
	pool := &nat.Pool{Name: "vms", Probe: "http", Backends: bothBackends}
	for rule := uint16(ruleWeb); rule < rulePIP; rule++ {
		pool.Rules = append(pool.Rules, rule)
	}
	for len(o.Rules) < siteRules {
		o.Rules = append(o.Rules, Rule{Name: "lb", Type: LoadBalancingRule, Idle: testIdle, Reset: true, Late: true})
	}
	o.Rules[rulePIP] = Rule{Name: "pip", Type: InstancePublicIP, Idle: testIdle, Reset: true, Late: true}
	s = siteOptions{Options: o, pool: pool, rules: nat.Rules{
		Frontends: []packet.Addr{publicAddr, secondAddr}, Internal: []packet.Addr{internalAddr, directAddr},
		Members:  []packet.Addr{memberAddr, otherMember, packettest.Addr("10.0.0.30")},
		Outbound: []nat.OutboundRule{egress()}, Inbound: siteInbound(pool),
		Instances: []nat.Instance{{Rule: rulePIP, Name: "pip", Public: packettest.Addr(pipAddr), Backend: packettest.Addr(pipBackend)}},
	}}
	for _, c := range change {
		c(&s)
	}
	var err error
	if o.Policy, err = nat.NewPolicy(s.rules); err != nil {
		t.Fatal(err)
	}
	o.Pools = []*nat.Pool{pool}
	return s
}

func newSite(t testing.TB, change ...func(*siteOptions)) *rig {
	t.Helper()
	var s siteOptions
	r := newRig(t, func(o *Options) { s = siteChange(t, o, change) })
	r.plan = s.plan()
	if !s.probe {
		r.health(true, "10.0.0.10", "10.0.0.11")
	}
	return r
}

// plan is what the site was made of, as a Change.
func (s *siteOptions) plan() Change {
	return Change{Rules: s.Rules, Names: s.Names, Timers: s.Timers, Policy: s.rules, Pools: s.Pools}
}

// withBackends is a Change with other backends in the pool of that name. Its pools are
// all new.
func (c Change) withBackends(pool string, backends []nat.Backend) Change {
	fresh := make(map[*nat.Pool]*nat.Pool)
	c.Pools, c.Policy.Inbound = slices.Clone(c.Pools), slices.Clone(c.Policy.Inbound)
	for i, was := range c.Pools {
		p := &nat.Pool{Name: was.Name, Probe: was.Probe, Drain: was.Drain, LastResort: was.LastResort, Rules: was.Rules, Backends: was.Backends}
		if p.Name == pool {
			p.Backends = backends
		}
		c.Pools[i], fresh[was] = p, p
	}
	for i, r := range c.Policy.Inbound {
		c.Policy.Inbound[i].Pool = fresh[r.Pool]
	}
	return c
}

// replace puts a Change in force.
func replace(t testing.TB, g *Gateway, c Change) {
	t.Helper()
	p, err := g.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Adopt(p); err != nil {
		t.Fatal(err)
	}
}

// SetBackends replaces the backends of a pool.
func (r *rig) SetBackends(pool string, backends []nat.Backend) {
	r.t.Helper()
	r.plan = r.plan.withBackends(pool, backends)
	replace(r.t, r.Gateway, r.plan)
}

// oneBackend leaves 10.0.0.10 alone in the pool.
func oneBackend(s *siteOptions) { s.pool.Backends = bothBackends[:1] }

// health is what the probe has found.
func (r *rig) health(up bool, backends ...string) {
	r.t.Helper()
	for _, b := range backends {
		r.SetHealth("http", packettest.Addr(b), up)
	}
	r.rebalance()
}

// meet opens a connection to a frontend, with whichever backend the rule chooses.
func (r *rig) meet(from nexthop.Side, src, dst string) *pair {
	r.t.Helper()
	r.turned = from == nexthop.Inside
	p := &pair{r: r, a: &end{side: from, local: src, remote: dst, next: 0xfffffff0}, b: &end{side: nexthop.Inside, next: 5000}}
	hello := p.a.segment(packet.SYN, "")
	hello.Options = wide
	v := r.pass(from, packettest.TCP(hello))
	p.b.local, p.b.remote, p.b.want = v.Dst, v.Src, v.Seq+1
	p.a.next++
	answer := p.b.segment(packet.SYN|packet.ACK, "")
	answer.Options = wide
	p.a.want = p.forward(p.b, answer).Seq + 1
	p.b.next++
	p.ack(p.a)
	return p
}

// arrive is deliver for ends that may be on the same side.
func (p *pair) arrive() {
	p.r.t.Helper()
	for _, side := range bothSides {
		for _, v := range p.r.take(side) {
			known := false
			for _, e := range []*end{p.a, p.b} {
				if side == e.side && v.Src == e.remote && v.Dst == e.local {
					known = true
					e.receive(v)
				}
			}
			if !known {
				p.r.t.Errorf("out %v went %s > %s, which is for neither end", side, v.Src, v.Dst)
			}
		}
	}
}

// wantReset lets the flow's timeout run out and wants one RST at each end.
func (p *pair) wantReset(t *testing.T) {
	t.Helper()
	p.r.sleep(testIdle)
	p.r.silent()
	p.r.sleep(testIdle / 50)
	p.arrive()
	p.reset(t, 1, 1)
}

// closed returns how many of a rule's flows have ended for that reason.
func (r *rig) closed(rule, proto int, why conntrack.Reason) uint64 {
	return r.Snapshot().Counters.Closed[rule][proto][why]
}

// reached has a datagram pass, and returns the backend that got it.
func (r *rig) reached(src, dst string) string {
	r.t.Helper()
	return hostOf(r.pass(nexthop.Outside, datagram(src, dst)).Dst)
}

func otherBackend(addr string) string {
	if addr == "10.0.0.10" {
		return "10.0.0.11"
	}
	return "10.0.0.10"
}

const drainPeriod = time.Minute
