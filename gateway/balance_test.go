package gateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// clientOf returns a client whose flow to dst goes to that backend.
func (r *rig) clientOf(backend, dst string) string {
	r.t.Helper()
	for port := uint16(10000); ; port++ {
		src := endpoint("192.0.2.66", port)
		if r.Explain(packettest.Tuple(packet.TCP, src, dst), nexthop.Outside).Chosen.String() == backend {
			return src
		}
	}
}

func TestBalancedConnection(t *testing.T) {
	seen := map[string]uint64{}
	r := newSite(t)
	for port := range uint16(20) {
		p := r.meet(nexthop.Outside, endpoint("192.0.2.66", 6000+port), webFrontend)
		if p.b.remote != p.a.local || portOf(p.b.local) != 8443 {
			t.Errorf("%s sees %s, which is %s", p.b.local, p.b.remote, p.a.local)
		}
		p.talk(100)
		seen[hostOf(p.b.local)]++
	}
	if len(seen) != 2 || seen["10.0.0.10"]+seen["10.0.0.11"] != 20 {
		t.Errorf("20 flows went to %v", seen)
	}
	chosen := map[Choice]uint64{{ruleWeb, memberAddr}: seen["10.0.0.10"], {ruleWeb, otherMember}: seen["10.0.0.11"]}
	if diff := cmp.Diff(chosen, r.Snapshot().Counters.Chosen); diff != "" {
		t.Errorf("counted as chosen (-want +got):\n%s", diff)
	}
	p := newSite(t).meet(nexthop.Outside, stranger, webFrontend)
	p.talk(1000)
	p.wantReset(t)
}

// TestBackendDown: new flows avoid it, its live TCP flows go on, its UDP flows end
// without a word and go elsewhere with the next datagram.
func TestBackendDown(t *testing.T) {
	for _, backend := range []string{"10.0.0.10", "10.0.0.11"} {
		for name, down := range map[string]func(*rig){
			"probe": func(r *rig) { r.health(false, backend) },
			"operator": func(r *rig) {
				r.SetBackends("vms", []nat.Backend{
					{Addr: packettest.Addr(backend), Admin: nat.AdminDown}, {Addr: packettest.Addr(otherBackend(backend))},
				})
				r.rebalance()
			},
		} {
			r := newSite(t)
			live := r.meet(nexthop.Outside, r.clientOf(backend, webFrontend), webFrontend)
			udp := map[string]string{}
			for i := range uint32(20) {
				src := packet.Addr(0xc0000201+i).String() + ":7000"
				udp[src] = r.reached(src, dnsFrontend)
			}
			down(r)
			r.silent()
			live.talk(100)
			r.sleep(testIdle / 2)
			live.talk(100)
			moved := uint64(0)
			for src, was := range udp {
				if was == backend {
					moved++
				}
				if got := r.reached(src, dnsFrontend); got != otherBackend(backend) {
					t.Errorf("%s: a datagram goes to %s, which is down", name, got)
				}
			}
			if n := r.closed(ruleDNS, indexUDP, conntrack.BackendDown); n != moved || moved == 0 || moved == 20 {
				t.Errorf("%s: %d UDP flows ended, %d of 20 were the backend's", name, n, moved)
			}
			for port := range uint16(50) {
				if got := hostOf(r.pass(nexthop.Outside, syn(endpoint("192.0.2.66", 20000+port), webFrontend)).Dst); got == backend {
					t.Fatalf("%s: a new flow goes to %s", name, got)
				}
			}
			live.talk(10)
			live.wantReset(t)
		}
	}
}

// TestBackendIsBack: new flows come to it again, those that went elsewhere stay.
func TestBackendIsBack(t *testing.T) {
	r := newSite(t)
	src := r.clientOf("10.0.0.10", webFrontend)
	r.health(false, "10.0.0.10")
	p := r.meet(nexthop.Outside, src, webFrontend)
	if hostOf(p.b.local) != "10.0.0.11" {
		t.Fatalf("it goes to %s", p.b.local)
	}
	r.health(true, "10.0.0.10")
	p.talk(10)
	if again := r.clientOf("10.0.0.10", webFrontend); again == "" {
		t.Error("no new flow comes to it")
	}
	udp := r.reached(stranger, dnsFrontend)
	r.health(false, otherBackend(udp))
	r.health(true, otherBackend(udp))
	if r.reached(stranger, dnsFrontend) != udp || r.closed(ruleDNS, indexUDP, conntrack.BackendDown) != 0 {
		t.Error("a UDP flow moved though its backend has been up all the time")
	}
}

func TestBackendsThatNoProbeHasSeen(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.probe = true })
	r.expect(DropNoBackend, nexthop.Outside, syn(stranger, webFrontend))
	r.SetHealth("http", memberAddr, true)
	r.SetHealth("https", otherMember, true) // another probe's
	r.expect(DropNoBackend, nexthop.Outside, syn(stranger, webFrontend))
	r.rebalance()
	for port := range uint16(20) {
		if got := r.pass(nexthop.Outside, syn(endpoint("192.0.2.66", 1000+port), webFrontend)).Dst; got != "10.0.0.10:8443" {
			t.Errorf("it goes to %s", got)
		}
	}
}

func TestAllDown(t *testing.T) {
	for _, last := range []bool{false, true} {
		r := newSite(t, func(s *siteOptions) { s.pool.LastResort = last })
		p := r.meet(nexthop.Outside, stranger, webFrontend)
		r.health(false, otherBackend(hostOf(p.b.local)))
		was := r.reached(stranger, dnsFrontend)
		r.health(false, "10.0.0.10", "10.0.0.11")
		p.talk(100)
		if last {
			if got := r.reached(stranger, dnsFrontend); got != was {
				t.Errorf("the last resort moves a UDP flow from %s to %s", was, got)
			}
			seen := map[string]bool{}
			for port := range uint16(30) {
				seen[r.pass(nexthop.Outside, syn(endpoint("192.0.2.66", 1000+port), webFrontend)).Dst] = true
			}
			if len(seen) != 2 {
				t.Errorf("30 flows of last resort go to %v", seen)
			}
			continue
		}
		r.expect(DropNoBackend, nexthop.Outside, syn("192.0.2.66:1000", webFrontend))
		r.expect(DropNoBackend, nexthop.Outside, datagram(stranger, dnsFrontend))
		r.expect(DropNoBackend, nexthop.Inside, syn(insideClient, "10.0.0.4:443"))
		r.silent()
		if n := r.closed(ruleDNS, indexUDP, conntrack.BackendDown); n != 1 {
			t.Errorf("%d UDP flows ended", n)
		}
		p.wantReset(t)
	}
}

func TestAdminUp(t *testing.T) {
	r := newSite(t)
	r.SetBackends("vms", []nat.Backend{{Addr: memberAddr, Admin: nat.AdminUp}, {Addr: otherMember}})
	r.health(false, "10.0.0.10", "10.0.0.11")
	for port := range uint16(20) {
		if got := r.pass(nexthop.Outside, syn(endpoint("192.0.2.66", 1000+port), webFrontend)).Dst; got != "10.0.0.10:8443" {
			t.Errorf("it goes to %s", got)
		}
	}
}

// draining is a connection whose backend has just left the pool.
func draining(t *testing.T, change ...func(*siteOptions)) *pair {
	r := newSite(t, append(change, func(s *siteOptions) { s.pool.Drain = drainPeriod })...)
	p := r.meet(nexthop.Outside, r.clientOf("10.0.0.10", webFrontend), webFrontend)
	r.SetBackends("vms", bothBackends[1:])
	r.rebalance()
	return p
}

// TestDrained: whether the rule resets or not, both ends are told when the period
// is over, and not a moment before.
func TestDrained(t *testing.T) {
	for _, reset := range []bool{true, false} {
		p := draining(t, func(s *siteOptions) { s.Rules[ruleWeb].Reset = reset })
		r := p.r
		r.expect(Forwarded, nexthop.Outside, syn("192.0.2.66:1", webFrontend))
		if v := r.one(nexthop.Inside); v.Dst != "10.0.0.11:8443" {
			t.Errorf("a new flow goes to %s", v.Dst)
		}
		r.sleep(drainPeriod - 50*time.Millisecond)
		p.talk(100)
		r.silent()
		r.sleep(50 * time.Millisecond)
		p.arrive()
		if !p.a.closed || !p.b.closed || p.a.resets != 1 || p.b.resets != 1 {
			t.Errorf("resets %d and %d, closed %t and %t", p.a.resets, p.b.resets, p.a.closed, p.b.closed)
		}
		s := r.Snapshot().Counters
		if s.Closed[ruleWeb][indexTCP][conntrack.Drained] != 1 || s.Resets[ruleWeb][ResetDrained] != [2]uint64{1, 1} {
			t.Errorf("counted %v, %v", s.Closed[ruleWeb], s.Resets[ruleWeb])
		}
		r.sleep(5 * drainPeriod)
		r.silent()
	}
}

func TestDrainSparesTheOthers(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.pool.Drain = drainPeriod })
	other := r.meet(nexthop.Outside, r.clientOf("10.0.0.11", webFrontend), webFrontend)
	nat := r.meet(nexthop.Outside, stranger, frontendSSH) // to the same address, by another rule
	r.turned = false
	out := r.dial(nexthop.Inside, 1, 2)
	r.SetBackends("vms", bothBackends[1:])
	r.sleep(2 * drainPeriod)
	r.silent()
	for _, p := range []*pair{other, nat, out} {
		p.talk(10)
	}
}

// TestDrainCalledOff: a backend that is back before the end keeps its flows, unless
// it leaves again.
func TestDrainCalledOff(t *testing.T) {
	p := draining(t)
	p.r.sleep(drainPeriod / 2)
	p.r.SetBackends("vms", bothBackends)
	p.r.sleep(drainPeriod)
	p.talk(10)
	p.r.SetBackends("vms", bothBackends[1:])
	p.r.sleep(drainPeriod - 50*time.Millisecond)
	p.talk(10)
	p.r.silent()
	p.r.sleep(50 * time.Millisecond)
	p.arrive()
	p.reset(t, 1, 1)
}

// TestDrainOfOneSetDown: adminState Down begins a drain too, and being listed is
// not being back.
func TestDrainOfOneSetDown(t *testing.T) {
	p := draining(t)
	p.r.sleep(drainPeriod / 2)
	p.r.SetBackends("vms", []nat.Backend{{Addr: memberAddr, Admin: nat.AdminDown}, {Addr: otherMember}})
	p.r.sleep(drainPeriod/2 - 50*time.Millisecond)
	p.r.silent()
	p.r.sleep(50 * time.Millisecond)
	p.arrive()
	p.reset(t, 1, 1)
}

func TestLeavingWithoutDrain(t *testing.T) {
	r := newSite(t)
	p := r.meet(nexthop.Outside, r.clientOf("10.0.0.10", webFrontend), webFrontend)
	r.SetBackends("vms", bothBackends[1:])
	r.sleep(testIdle / 2)
	p.talk(10)
	p.wantReset(t)
}

func TestBackends(t *testing.T) {
	p := draining(t)
	p.r.sleep(20 * time.Second)
	p.r.health(false, "10.0.0.11")
	rules := []uint16{ruleWeb, ruleDNS, ruleDirect, ruleExact, ruleAny, ruleInner}
	want := []BackendState{
		{Pool: "vms", Probe: "http", Rules: rules, Backend: otherMember},
		{Pool: "vms", Probe: "http", Rules: rules, Backend: memberAddr, Left: true, Draining: true, Drain: drainPeriod - 20*time.Second},
	}
	if diff := cmp.Diff(want, p.r.Backends()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.r.SetBackends("vms", []nat.Backend{{Addr: memberAddr, Admin: nat.AdminDown}, {Addr: otherMember, Admin: nat.AdminUp}})
	want = []BackendState{
		{Pool: "vms", Probe: "http", Rules: rules, Backend: memberAddr, Admin: nat.AdminDown, Up: true, Draining: true, Drain: drainPeriod - 20*time.Second},
		{Pool: "vms", Probe: "http", Rules: rules, Backend: otherMember, Admin: nat.AdminUp, Taking: true},
	}
	if diff := cmp.Diff(want, p.r.Backends()); diff != "" {
		t.Errorf("set down and up (-want +got):\n%s", diff)
	}
}
