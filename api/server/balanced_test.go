package server

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/probe"
)

// The rules of a balanced rig, by number.
const (
	egressRule = iota // 203.0.113.5, 8 ports for each of .10, .11
	webRule           // tcp 203.0.113.5:443 → vms :8443, probe http
	dnsRule           // udp 203.0.113.5:53 → vms, no probe, by client and frontend
	haRule            // tcp 10.0.0.4, every port → inner, no probe
	directRule        // tcp 203.0.113.5:80 → inner, floating
	listedRule        // tcp 203.0.113.5:2222 → 10.0.0.10:22, with an ACL
	pipRule           // 203.0.113.9 ↔ 10.0.0.20
)

func addrs(all ...string) (parsed []packet.Addr) {
	for _, a := range all {
		parsed = append(parsed, packettest.Addr(a))
	}
	return parsed
}

func backendsOf(all ...string) (backends []nat.Backend) {
	for _, a := range addrs(all...) {
		backends = append(backends, nat.Backend{Addr: a})
	}
	return backends
}

func endpoint(s string) nat.Endpoint {
	ap := netip.MustParseAddrPort(s)
	return nat.Endpoint{Addr: packet.AddrFrom(ap.Addr()), Port: ap.Port()}
}

func balancedPools() (web, dns, inner *nat.Pool) {
	web = &nat.Pool{Name: "vms", Probe: "http", Drain: 12 * time.Second, Rules: []uint16{webRule}, Backends: backendsOf("10.0.0.10", "10.0.0.11")}
	dns = &nat.Pool{Name: "vms", Rules: []uint16{dnsRule}, Backends: backendsOf("10.0.0.10", "10.0.0.11")}
	inner = &nat.Pool{Name: "inner", Rules: []uint16{haRule, directRule}, Backends: backendsOf("10.0.0.12")}
	return web, dns, inner
}

func balancedRules(web, dns, inner *nat.Pool) nat.Rules {
	one := endpoint
	return nat.Rules{
		Frontends: addrs("203.0.113.5"), Internal: addrs("10.0.0.4"),
		Members: addrs("10.0.0.10", "10.0.0.11", "10.0.0.12"),
		Outbound: []nat.OutboundRule{{Rule: egressRule, Name: "egress", Protocols: []packet.Protocol{packet.TCP, packet.UDP, packet.ICMP},
			Frontends: addrs("203.0.113.5"), Members: addrs("10.0.0.10", "10.0.0.11"), Ports: 8}},
		Inbound: []nat.InboundRule{
			{Rule: webRule, Name: "web", Protocol: packet.TCP, Frontend: one("203.0.113.5:443"), Backend: nat.Endpoint{Port: 8443}, Pool: web},
			{Rule: dnsRule, Name: "dns", Protocol: packet.UDP, Frontend: one("203.0.113.5:53"), Backend: nat.Endpoint{Port: 53}, Pool: dns, Distribution: nat.TwoTuple},
			{Rule: haRule, Name: "ha", Protocol: packet.TCP, Frontend: one("10.0.0.4:0"), Pool: inner},
			{Rule: directRule, Name: "direct", Protocol: packet.TCP, Frontend: one("203.0.113.5:80"), Backend: nat.Endpoint{Port: 80}, Pool: inner, Floating: true},
			{Rule: listedRule, Name: "listed", Protocol: packet.TCP, Frontend: one("203.0.113.5:2222"), Backend: one("10.0.0.10:22"), ACL: nat.ACL{
				{Order: 50, Network: packettest.Addr("198.51.100.66"), Mask: 0xffffffff},
				{Order: 100, Permit: true, Network: packettest.Addr("198.51.100.0"), Mask: 0xffffff00},
			}},
		},
		Instances: []nat.Instance{{Rule: pipRule, Name: "pip0", Public: packettest.Addr("203.0.113.9"), Backend: packettest.Addr("10.0.0.20")}},
	}
}

// balancedTimers are those of a balanced rig.
var balancedTimers = conntrack.Timers{HalfOpen: 30 * time.Second, FinHold: 65 * time.Second, ResetHold: 16 * time.Second, ICMP: 30 * time.Second}

// setBackends changes those of pool vms while a balanced rig runs.
func (r *rig) setBackends(backends []nat.Backend) {
	r.t.Helper()
	web, dns, inner := balancedPools()
	web.Backends, dns.Backends = backends, backends
	r.adopt(r.gateway.Rules(), balancedRules(web, dns, inner), web, dns, inner)
}

func (r *rig) adopt(rules []gateway.Rule, policy nat.Rules, pools ...*nat.Pool) {
	r.t.Helper()
	p, err := r.gateway.Prepare(gateway.Change{
		Rules: rules, Names: r.gateway.Frontends(), Timers: balancedTimers, Policy: policy, Pools: pools,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.gateway.Adopt(p); err != nil {
		r.t.Fatal(err)
	}
}

// newBalancedRig has load-balancing rules; what the probe says of vms is still open.
func newBalancedRig(t *testing.T) *rig {
	t.Helper()
	web, dns, inner := balancedPools()
	policy, err := nat.NewPolicy(balancedRules(web, dns, inner))
	if err != nil {
		t.Fatal(err)
	}
	balanced := gateway.LoadBalancingRule
	return newRigOf(t, gateway.Options{
		MaxFlows: 1024, Policy: policy, Pools: []*nat.Pool{web, dns, inner}, Names: frontends, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Timers: balancedTimers,
		Rules: []gateway.Rule{
			egressRule: {Name: "egress", Type: gateway.OutboundRule, Idle: testIdle, Reset: true},
			webRule:    {Name: "web", Type: balanced, Idle: 5 * time.Minute, UDPIdle: 4 * time.Minute, Reset: true, Ask: true},
			dnsRule:    {Name: "dns", Type: balanced, Idle: 5 * time.Minute, UDPIdle: 3 * time.Minute},
			haRule:     {Name: "ha", Type: balanced, Idle: 5 * time.Minute},
			directRule: {Name: "direct", Type: balanced, Idle: 5 * time.Minute},
			listedRule: {Name: "listed", Type: gateway.InboundNATRule, Idle: testIdle, Late: true},
			pipRule:    {Name: "pip0", Type: gateway.InstancePublicIP, Idle: testIdle, Reset: true},
		},
	})
}

// probeFinds tells the gateway and the API what the probe http has found of 10.0.0.10
// and .11, and waits until new flows go by it.
func (r *rig) probeFinds(first, second bool) {
	r.t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	var all []probe.Status
	for i, up := range []bool{first, second} {
		a := addrs("10.0.0.10", "10.0.0.11")[i]
		r.gateway.SetHealth("http", a, up)
		s := probe.Status{Target: probe.Target{Probe: "http", Backend: a.Netip()}, Up: up, Known: true,
			Since: at, Last: at.Add(time.Minute), Took: 1500 * time.Microsecond, Result: "200 OK", Succeeded: 4}
		if !up {
			s.Result, s.Succeeded, s.Failed = "connection refused", 3, 1
		}
		all = append(all, s)
	}
	r.probes.Store(&all)
	waitFor(r.t, func() bool { return r.serves("10.0.0.10") == first && r.serves("10.0.0.11") == second })
}

// serves says whether new flows of rule web go to that backend: among a hundred,
// one would.
func (r *rig) serves(backend string) bool {
	t := packet.Tuple{Src: packettest.Addr("198.51.100.9"), Dst: packettest.Addr("203.0.113.5"), DstPort: 443, Proto: packet.TCP}
	for t.SrcPort = 1; t.SrcPort <= 100; t.SrcPort++ {
		if r.gateway.Explain(t, nexthop.Outside).Chosen == packettest.Addr(backend) {
			return true
		}
	}
	return false
}
