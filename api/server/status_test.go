package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

func TestStatus(t *testing.T) {
	r := newRig(t)
	r.open("10.0.0.10:40000", server) // three segments of 40 bytes
	r.syn("10.0.0.20:1", server)
	r.in[nexthop.Inside] <- packettest.UDP(packettest.Datagram{Src: "10.9.9.9:1", Dst: "198.51.100.7:53"})
	r.datagram("10.0.0.11:1", "198.51.100.7:53") // 29 bytes; the one before is decided on when this is
	r.lost.Store(3)
	s, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.UptimeSeconds < 60 || s.UptimeSeconds > 90 || time.Since(s.Started) < time.Minute {
		t.Errorf("up for %v s since %v", s.UptimeSeconds, s.Started)
	}
	drops, resets := s.Totals.Drops, s.Totals.Resets
	s.UptimeSeconds, s.Started, s.Totals.Drops, s.Totals.Resets = 0, time.Time{}, nil, nil
	want := api.Status{
		Version: "1.2.3", Healthy: true, Ready: true, Datapath: "packet", DatapathReason: "the fastest here",
		Rules: []api.RuleStatus{
			{Name: "egress", Type: "outboundRule", IdleTimeoutSeconds: 240, EnableTCPReset: true, Flows: 2, States: map[string]int{"ESTABLISHED": 1, "ACTIVE": 1}},
			{Name: "wide", Type: "outboundRule", IdleTimeoutSeconds: 240, Flows: 1, States: map[string]int{"SYN_SENT": 1}},
			{Name: "ssh", Type: "inboundNatRule", IdleTimeoutSeconds: 300, EnableTCPReset: true, States: map[string]int{}},
		},
		Totals: api.Totals{
			Flows: 3, MaxFlows: 1024, Created: 3,
			Inside:  api.Traffic{PacketsIn: 5, BytesIn: 3*40 + 28 + 29, PacketsOut: 1, BytesOut: 40},
			Outside: api.Traffic{PacketsIn: 1, BytesIn: 40, PacketsOut: 4, BytesOut: 3*40 + 29},
		},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if drops["not-a-member"] != 1 || drops["rx-overflow"] != 3 || drops["no-flow"] != 0 || len(drops) < 20 {
		t.Errorf("drops are %v", drops)
	}
	if got := slices.Sorted(maps.Keys(resets)); !slices.Equal(got, []string{"challenge", "drained", "exhausted", "idle", "killed", "late", "rule-removed"}) {
		t.Errorf("reasons for resets are %v", got)
	}
}

// ports asks and writes each row on a line: name protocol allocated used held free failed.
func (r *rig) ports(by api.PortsBy) string {
	r.t.Helper()
	p, err := r.client.Ports(r.t.Context(), by)
	if err != nil || p.By != by {
		r.t.Fatalf("by %s: %+v, %v", by, p, err)
	}
	var lines []string
	for _, row := range p.Rows {
		name := row.Backend + row.Frontend + row.Rule
		lines = append(lines, fmt.Sprintln(name, row.Protocol, row.Allocated, row.Used, row.Held, row.Free, row.Failed))
	}
	return strings.Join(lines, "")
}

// Ports are used once however many flows share them, held when all of those are
// over, and free again later.
func TestPorts(t *testing.T) {
	r := newRig(t)
	for port := range 18 { // two more than there are ports
		r.in[nexthop.Inside] <- packettest.UDP(packettest.Datagram{Src: fmt.Sprintf("10.0.0.11:%d", 1+port), Dst: "198.51.100.7:53"})
	}
	for range 16 {
		r.take(nexthop.Outside)
	}
	for range 2 {
		r.take(nexthop.Inside) // ICMP unreachable
	}
	over := r.open("10.0.0.10:1", server)
	r.finish("10.0.0.10:1", server, over)
	r.open("10.0.0.10:2", server)
	r.syn("10.0.0.20:1", server)
	wide := 2*64000 + 8
	backend := "10.0.0.10 tcp 16 2 1 14 0\n10.0.0.10 udp 16 0 0 16 0\n10.0.0.10 icmp 16 0 0 16 0\n" +
		"10.0.0.11 tcp 16 0 0 16 0\n10.0.0.11 udp 16 16 0 0 2\n10.0.0.11 icmp 16 0 0 16 0\n" +
		fmt.Sprintf("10.0.0.20 tcp %d 1 0 %d 0\n", wide, wide-1)
	rule := "egress tcp 32 2 1 30 0\negress udp 32 16 0 16 2\negress icmp 32 0 0 32 0\n" +
		fmt.Sprintf("wide tcp %d 1 0 %d 0\n", wide, wide-1)
	for by, want := range map[api.PortsBy]string{api.ByBackend: backend, api.ByRule: rule} {
		if diff := cmp.Diff(want, r.ports(by)); diff != "" {
			t.Errorf("by %s: %s", by, diff)
		}
	}
	r.clock.Add(int64(66 * time.Second)) // timers.tcpFinHold is 65 s
	waitFor(t, func() bool { return strings.HasPrefix(r.ports(api.ByBackend), "10.0.0.10 tcp 16 1 0 15 0\n") })
}

// The addresses of one frontend configuration are one row, and a member's ports
// on several configurations are in several.
func TestPortsByFrontend(t *testing.T) {
	r := newRig(t)
	used := map[string]int{"second": 0, "block": 0}
	for i := range 20 {
		external := r.syn(fmt.Sprintf("10.0.0.20:%d", 1+i), server)
		if strings.HasPrefix(external, "203.0.113.6:") {
			used["second"]++
		} else {
			used["block"]++
		}
	}
	want := "public tcp 32 0 0 32 0\npublic udp 32 0 0 32 0\npublic icmp 32 0 0 32 0\n" +
		fmt.Sprintf("second tcp 64000 %d 0 %d 0\n", used["second"], 64000-used["second"]) +
		fmt.Sprintf("block tcp 64008 %d 0 %d 0\n", used["block"], 64008-used["block"])
	if diff := cmp.Diff(want, r.ports(api.ByFrontend)); diff != "" {
		t.Error(diff)
	}
}

// A port that several flows share is held only when none of them is open.
func TestHeldByAllFlows(t *testing.T) {
	r := newRig(t)
	const there = "198.51.100.8:443"
	var ports []string // member 10.0.0.10 has 16: the 17th shares one, to another destination
	for i := range 16 {
		src := fmt.Sprintf("10.0.0.10:%d", 1+i)
		ports = append(ports, r.open(src, server))
		r.finish(src, server, ports[i])
	}
	if got := r.ports(api.ByBackend); !strings.HasPrefix(got, "10.0.0.10 tcp 16 16 16 0 0\n") {
		t.Fatal(got)
	}
	if shared := r.open("10.0.0.10:99", there); !slices.Contains(ports, shared) {
		t.Fatalf("%s is none of %v", shared, ports)
	}
	if got := r.ports(api.ByBackend); !strings.HasPrefix(got, "10.0.0.10 tcp 16 16 15 0 0\n") {
		t.Error(got)
	}
	r.in[nexthop.Outside] <- packettest.TCP(packettest.Segment{Src: there, Dst: r.flows("remote=" + there).Flows[0].External.String(),
		Seq: 5001, Ack: 1001, Flags: packet.RST | packet.ACK})
	r.take(nexthop.Inside)
	if got := r.ports(api.ByBackend); !strings.HasPrefix(got, "10.0.0.10 tcp 16 16 16 0 0\n") {
		t.Error(got)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about")
		}
	}
}

func TestMetricsRoute(t *testing.T) {
	r := newRig(t)
	r.open("10.0.0.10:1", server)
	a := r.get("/metrics")
	for _, line := range []string{
		`tidegate_flows{protocol="tcp",rule="egress",state="ESTABLISHED"} 1`,
		`tidegate_snat_ports_used{backend="10.0.0.10",frontend="public",protocol="tcp"} 1`,
		"# TYPE go_goroutines gauge", "# TYPE process_open_fds gauge",
	} {
		if !strings.Contains(a.body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	a = r.request("GET", "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/openmetrics-text; version=1.0.0") || !strings.HasSuffix(a.body, "# EOF\n") {
		t.Errorf("Content-Type is %s", ct)
	}
}

// A rule that is gone, with its flows, is not told of any more; how they ended is.
func TestRemovedRule(t *testing.T) {
	r := newBalancedRig(t)
	r.clientSYN("198.51.100.9:5002", "203.0.113.5:2222")
	web, dns, inner := balancedPools()
	rules, policy := slices.Clone(r.gateway.Rules()), balancedRules(web, dns, inner)
	rules[listedRule].Removed = true
	policy.Inbound = slices.DeleteFunc(policy.Inbound, func(i nat.InboundRule) bool { return i.Rule == listedRule })
	r.adopt(rules, policy, web, dns, inner)
	s, err := r.client.Status(t.Context())
	if err != nil || len(s.Rules) != len(rules)-1 || slices.ContainsFunc(s.Rules, func(rule api.RuleStatus) bool { return rule.Name == "listed" }) {
		t.Errorf("%+v, %v", s.Rules, err)
	}
	want := "of inboundNatRule listed ended as its rule, or the frontend address it uses, is no longer in the configuration."
	if e := r.closed(1)[0]; e.Rule != "listed" || e.Reason != "rule-removed" || !strings.HasSuffix(e.Message, want) {
		t.Errorf("%+v", e)
	}
	if e := r.explain("tcp 198.51.100.9:5002 203.0.113.5:2222"); e.Verdict != "no-flow" || e.Dead == nil || e.Dead.Timer != "" {
		t.Errorf("%+v", e)
	}
}
