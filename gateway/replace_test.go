package gateway

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// revised is the rig's plan with a change, in force. It is made of copies.
func (r *rig) revised(change func(c *Change)) {
	r.t.Helper()
	c := r.plan.withBackends("", nil)
	c.Rules = slices.Clone(c.Rules)
	c.Policy.Outbound = slices.Clone(c.Policy.Outbound)
	c.Policy.Frontends = slices.Clone(c.Policy.Frontends)
	c.Policy.Instances = slices.Clone(c.Policy.Instances)
	change(&c)
	r.plan = c
	replace(r.t, r.Gateway, c)
}

// remove takes a rule out.
func (c *Change) remove(rule uint16) {
	c.Rules[rule].Removed = true
	c.Policy.Inbound = slices.DeleteFunc(c.Policy.Inbound, func(r nat.InboundRule) bool { return r.Rule == rule })
	c.Policy.Outbound = slices.DeleteFunc(c.Policy.Outbound, func(r nat.OutboundRule) bool { return r.Rule == rule })
	c.Policy.Instances = slices.DeleteFunc(c.Policy.Instances, func(i nat.Instance) bool { return i.Rule == rule })
}

// A new timeout is that of live flows too, from their last packet on: a shorter one
// ends them in time, a longer one lets them live.
func TestNewTimeouts(t *testing.T) {
	const longer, shorter = 30 * time.Minute, time.Minute
	for _, now := range []time.Duration{longer, shorter} {
		r := newSite(t)
		p := r.meet(nexthop.Outside, stranger, webFrontend)
		r.sleep(testIdle / 8)
		r.revised(func(c *Change) { c.Rules[ruleWeb].Idle = now })
		r.sleep(now - testIdle/8)
		r.silent()
		r.sleep(now / 50)
		p.arrive()
		p.reset(t, 1, 1)
	}
}

// A flow that the new timeout would have ended long ago ends at once.
func TestOverdueByNewTimeout(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.Rules[ruleWeb].Idle = 100 * time.Minute })
	p := r.meet(nexthop.Outside, stranger, webFrontend)
	r.sleep(90 * time.Minute)
	r.silent()
	r.revised(func(c *Change) { c.Rules[ruleWeb].Idle = testIdle })
	r.sleep(time.Second)
	p.arrive()
	p.reset(t, 1, 1)
}

// What the rules of a gateway are says nothing of flows whose rule stands: they go on
// with their addresses and ports, whatever its ports and backends are by now.
func TestFlowsOutliveChanges(t *testing.T) {
	changes := map[string]func(c *Change){
		"nothing":     func(*Change) {},
		"other ports": func(c *Change) { c.Policy.Outbound[0].Ports = 8 },
		"other frontend": func(c *Change) {
			c.Policy.Outbound[0].Frontends = []packet.Addr{secondAddr}
		},
		"no members": func(c *Change) { c.Policy.Members, c.Policy.Outbound[0].Members = nil, nil },
		"other backend port": func(c *Change) {
			for i := range c.Policy.Inbound {
				c.Policy.Inbound[i].Backend.Port = 9
			}
		},
		"other frontend port": func(c *Change) {
			for i := range c.Policy.Inbound {
				c.Policy.Inbound[i].Frontend.Port += 7
			}
		},
		"one rule more": func(c *Change) { c.Rules = append(c.Rules, Rule{Name: "new", Idle: testIdle}) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			r := newSite(t)
			web := r.meet(nexthop.Outside, stranger, webFrontend)
			ssh := r.meet(nexthop.Outside, endpoint("192.0.2.66", 7), frontendSSH)
			r.turned = false
			out := r.dial(nexthop.Inside, 1, 2)
			external := out.b.remote
			for range 3 {
				r.revised(change)
				for _, p := range []*pair{web, ssh, out} {
					p.talk(20)
				}
			}
			if out.b.remote != external {
				t.Errorf("%s became %s", external, out.b.remote)
			}
			r.silent()
			if n := r.policy.Draining(); n > 1 {
				t.Errorf("%d ports drain", n)
			}
			r.sleep(testIdle * 51 / 50)
			r.sleep(time.Minute)
			r.gone()
			if n := r.policy.Draining(); n != 0 {
				t.Errorf("%d ports drain without flows", n)
			}
		})
	}
}

// The flows of a rule that is gone end: ESTABLISHED TCP with RST to both ends, whether
// the rule resets or not, unless it never does; the others without a word.
func TestRuleRemoved(t *testing.T) {
	for _, silent := range []bool{false, true} {
		r := newSite(t, func(s *siteOptions) { s.Rules[ruleWeb].Reset, s.Rules[ruleWeb].Silent = false, silent })
		web := r.meet(nexthop.Outside, stranger, webFrontend)
		ssh := r.meet(nexthop.Outside, endpoint("192.0.2.66", 7), frontendSSH)
		r.pass(nexthop.Outside, datagram(stranger, dnsFrontend))
		r.revised(func(c *Change) {
			c.remove(ruleWeb)
			c.remove(ruleDNS)
		})
		if silent {
			r.silent()
		} else {
			web.arrive()
			if !web.a.closed || !web.b.closed || web.a.resets != 1 || web.b.resets != 1 {
				t.Errorf("resets %d and %d, closed %t and %t", web.a.resets, web.b.resets, web.a.closed, web.b.closed)
			}
		}
		ssh.talk(10)
		if n := r.Len(); n != 1 {
			t.Errorf("%d flows live", n)
		}
		for rule, proto := range map[int]int{ruleWeb: indexTCP, ruleDNS: indexUDP} {
			if n := r.closed(rule, proto, conntrack.RuleRemoved); n != 1 {
				t.Errorf("%d flows of rule %d ended for that", n, rule)
			}
		}
		r.expect(DropNoFlow, nexthop.Outside, syn(stranger, webFrontend))
		r.silent()
	}
}

// So do the flows that use an address which is not the gateway's any more.
func TestFrontendRemoved(t *testing.T) {
	r := newSite(t)
	r.meet(nexthop.Outside, stranger, pipAddr+":25")
	web := r.meet(nexthop.Outside, stranger, webFrontend)
	r.turned = false
	r.dial(nexthop.Inside, 1, 2)
	r.revised(func(c *Change) {
		c.Policy.Instances = nil // its rule goes on with another address, of which it has none
		c.Policy.Frontends = []packet.Addr{secondAddr}
		c.Policy.Outbound[0].Frontends = []packet.Addr{secondAddr}
		c.Policy.Inbound = slices.DeleteFunc(c.Policy.Inbound, func(r nat.InboundRule) bool { return r.Frontend.Addr == publicAddr })
	})
	var told []string
	for _, side := range bothSides {
		for _, v := range r.take(side) {
			if v.Flags&packet.RST != 0 {
				told = append(told, v.Dst)
			}
		}
	}
	slices.Sort(told)
	if diff := cmp.Diff([]string{client, pipBackend + ":25", stranger, server}, told); diff != "" {
		t.Errorf("told are (-want +got):\n%s", diff)
	}
	web.talk(10)
	r.turned = false
	again := r.dial(nexthop.Inside, 1, 2)
	if at := hostOf(again.b.remote); at != "203.0.113.6" {
		t.Errorf("new flows leave by %s", at)
	}
}

// A rule that comes back counts on under the number that it had.
func TestRuleComesBack(t *testing.T) {
	r := newSite(t)
	r.meet(nexthop.Outside, stranger, webFrontend)
	before := r.plan
	r.revised(func(c *Change) { c.remove(ruleWeb) })
	r.take(nexthop.Outside)
	r.take(nexthop.Inside)
	r.plan = before
	r.revised(func(*Change) {})
	r.sleep(31 * time.Second) // the tombstone
	r.meet(nexthop.Outside, stranger, webFrontend).talk(10)
	if n := r.Snapshot().Counters.Created[ruleWeb][indexTCP]; n != 2 {
		t.Errorf("%d flows of the rule began", n)
	}
}

// Fewer rules than there were would leave flows with numbers of none.
func TestPrepareRefuses(t *testing.T) {
	r := newSite(t)
	c := r.plan.withBackends("", nil)
	fewer, greedy := c, c
	fewer.Rules = c.Rules[:2]
	greedy.Policy.Outbound = []nat.OutboundRule{egress()}
	greedy.Policy.Outbound[0].Ports = 64_000
	for name, bad := range map[string]Change{"fewer rules": fewer, "too many ports": greedy} {
		if _, err := r.Prepare(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r.meet(nexthop.Outside, stranger, webFrontend).talk(10)
}

// Packets are forwarded while rules come and go: those of flows whose rule stands all
// arrive.
func TestReplaceWhileRunning(t *testing.T) {
	var plan Change
	w := newWorld(t, func(o *Options) {
		s := siteChange(t, o, nil)
		plan = s.plan()
	})
	w.SetHealth("http", memberAddr, true)
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 60 {
			plan = plan.withBackends("vms", bothBackends[:1+i%2])
			plan.Policy.Outbound = []nat.OutboundRule{egress()}
			plan.Policy.Outbound[0].Ports = []int{8, 16, 800}[i%3]
			plan.Rules = slices.Clone(plan.Rules)
			plan.Rules[ruleDNS].Removed = i%4 == 0
			plan.Rules[ruleWeb].Idle = time.Duration(1+i%9) * time.Minute
			replace(t, w.Gateway, plan)
		}
	})
	all.Go(func() {
		for i := range uint16(400) {
			w.inject(nexthop.Outside, syn(endpoint("192.0.2.66", i), webFrontend))
			w.inject(nexthop.Inside, datagram(endpoint("10.0.0.10", i%30), "198.51.100.7:53"))
			w.inject(nexthop.Outside, datagram(endpoint("192.0.2.9", i), dnsFrontend))
		}
	})
	all.Go(func() {
		for range 200 {
			w.Snapshot()
			w.Backends()
			w.Explain(packettest.Tuple(packet.TCP, stranger, webFrontend), nexthop.Outside)
		}
	})
	all.Wait()
	if n := w.Snapshot().Counters.Closed[ruleWeb][indexTCP][conntrack.RuleRemoved]; n != 0 {
		t.Errorf("%d flows of a rule that stands were ended", n)
	}
	w.end()
}

// A flow that begins while those of a lost address are being ended does not get that
// address, though its endpoint has a mapping to it.
func TestFlowBesideTheEnd(t *testing.T) {
	r := newSite(t)
	const from = "10.0.0.10:5353"
	r.pass(nexthop.Inside, datagram(from, "198.51.100.7:53"))
	c := r.plan.withBackends("", nil)
	c.Policy.Frontends = []packet.Addr{secondAddr}
	c.Policy.Outbound = []nat.OutboundRule{egress()}
	c.Policy.Outbound[0].Frontends = c.Policy.Frontends
	c.Policy.Inbound = slices.DeleteFunc(c.Policy.Inbound, func(r nat.InboundRule) bool { return r.Frontend.Addr == publicAddr })
	p, err := r.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	old := r.install(p)
	check := func(to string) {
		t.Helper()
		if v := r.pass(nexthop.Inside, datagram(from, to)); hostOf(v.Src) != secondAddr.String() {
			t.Errorf("to %s it leaves by %s", to, v.Src)
		}
	}
	check("198.51.100.8:53")
	if err := r.endFallen(p, old); err != nil {
		t.Fatal(err)
	}
	check("198.51.100.7:53")
	check("198.51.100.8:53")
	if n := r.Len(); n != 2 {
		t.Errorf("%d flows live", n)
	}
}

// Drains go on, and begin, whatever has become of the pool but for its rules.
func TestDrainsOutliveChanges(t *testing.T) {
	changes := map[string]func(c *Change){
		"the pool is renamed": func(c *Change) { c.Pools[0].Name = "renamed" },
		"one of its rules gets another probe": func(c *Change) {
			was := c.Pools[0]
			other := &nat.Pool{Name: was.Name, Probe: "other", Drain: was.Drain, Rules: []uint16{ruleWeb}, Backends: was.Backends}
			was.Rules = slices.DeleteFunc(slices.Clone(was.Rules), func(r uint16) bool { return r == ruleWeb })
			c.Pools = append(c.Pools, other)
			for i := range c.Policy.Inbound {
				if c.Policy.Inbound[i].Rule == ruleWeb {
					c.Policy.Inbound[i].Pool = other
				}
			}
		},
	}
	for name, change := range changes {
		for _, when := range []string{"later", "at once"} {
			r := newSite(t, func(s *siteOptions) { s.pool.Drain = drainPeriod })
			p := r.meet(nexthop.Outside, r.clientOf("10.0.0.10", webFrontend), webFrontend)
			if when == "later" {
				r.SetBackends("vms", bothBackends[1:])
				r.sleep(drainPeriod / 2)
			}
			c := r.plan.withBackends("vms", bothBackends[1:])
			change(&c)
			replace(t, r.Gateway, c)
			r.sleep(drainPeriod - time.Second)
			if when == "at once" {
				r.silent()
			}
			r.sleep(time.Second)
			p.arrive()
			if p.a.resets != 1 || p.b.resets != 1 {
				t.Errorf("%s %s: %d and %d resets", name, when, p.a.resets, p.b.resets)
			}
		}
	}
}
