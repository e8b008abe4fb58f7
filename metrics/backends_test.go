package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/probe"
)

// balanced is two load-balancing rules on TCP ports 80 and 443 of one pool, and one on
// 22 of a pool without a probe.
func balanced(backends ...nat.Backend) gateway.Change {
	vms := &nat.Pool{Name: "vms", Probe: "http", Drain: time.Minute, Rules: []uint16{0, 1}, Backends: backends}
	plain := &nat.Pool{Name: "plain", Rules: []uint16{2}, Backends: []nat.Backend{{Addr: packettest.Addr("10.0.0.12"), Admin: nat.AdminDown}}}
	kind := gateway.LoadBalancingRule
	c := gateway.Change{Names: names, Pools: []*nat.Pool{vms, plain}, Policy: nat.Rules{Frontends: []packet.Addr{public}}, Rules: []gateway.Rule{
		{Name: "http", Type: kind, Idle: time.Minute}, {Name: "https", Type: kind, Idle: time.Minute}, {Name: "ssh", Type: kind, Idle: time.Minute},
	}}
	for i, r := range []struct {
		port uint16
		pool *nat.Pool
	}{{80, vms}, {443, vms}, {22, plain}} {
		c.Policy.Inbound = append(c.Policy.Inbound, nat.InboundRule{Rule: uint16(i), Protocol: packet.TCP,
			Frontend: nat.Endpoint{Addr: public, Port: r.port}, Backend: nat.Endpoint{Port: r.port}, Pool: r.pool})
	}
	return c
}

// playBalanced runs it; an operator has set 10.0.0.10 up.
func playBalanced(t *testing.T, packets ...[]byte) *gateway.Gateway {
	t.Helper()
	c := balanced(nat.Backend{Addr: packettest.Addr("10.0.0.10"), Admin: nat.AdminUp}, nat.Backend{Addr: packettest.Addr("10.0.0.11")})
	policy, err := nat.NewPolicy(c.Policy)
	if err != nil {
		t.Fatal(err)
	}
	return playOn(t, gateway.Options{Policy: policy, Pools: c.Pools, Rules: c.Rules}, packets...)
}

func syn(src, dst string) []byte {
	return packettest.TCP(packettest.Segment{Src: src, Dst: dst, Seq: 1, Flags: packet.SYN})
}

func probed() []probe.Status {
	first := probe.Target{Probe: "http", Backend: packettest.Addr("10.0.0.10").Netip()}
	second := probe.Target{Probe: "http", Backend: packettest.Addr("10.0.0.11").Netip()}
	return []probe.Status{{Target: first, Known: true, Took: 1500 * time.Microsecond, Succeeded: 3, Failed: 2}, {Target: second}}
}

// compare checks every sample of those metrics.
func compare(t *testing.T, samples map[string]string, want map[string]map[string]string) {
	t.Helper()
	for metric, values := range want {
		if diff := cmp.Diff(values, all(samples, metric)); diff != "" {
			t.Errorf("%s: %s", metric, diff)
		}
	}
}

func TestBackends(t *testing.T) {
	g := playBalanced(t, syn("198.51.100.9:1", "203.0.113.5:80"), syn("198.51.100.9:2", "203.0.113.5:80"),
		syn("198.51.100.9:2", "203.0.113.5:80"), syn("198.51.100.9:1", "203.0.113.5:443"), syn("198.51.100.9:1", "203.0.113.5:22"))
	samples := scrape(t, Options{Gateway: g, Probes: probed})
	compare(t, samples, map[string]map[string]string{
		"tidegate_backend_up": {
			`backend="10.0.0.10",pool="vms",probe="http"`: "0", `backend="10.0.0.11",pool="vms",probe="http"`: "0",
			`backend="10.0.0.12",pool="plain",probe=""`: "1",
		},
		"tidegate_backend_taking_flows": {
			`backend="10.0.0.10",pool="vms",probe="http"`: "1", `backend="10.0.0.11",pool="vms",probe="http"`: "0",
			`backend="10.0.0.12",pool="plain",probe=""`: "0",
		},
		"tidegate_backend_flows_created_total": {`backend="10.0.0.10",rule="http"`: "2", `backend="10.0.0.10",rule="https"`: "1",
			`backend="10.0.0.11",rule="http"`: "0", `backend="10.0.0.11",rule="https"`: "0", `backend="10.0.0.12",rule="ssh"`: "0",
		},
		"tidegate_probes_total": {
			`backend="10.0.0.10",probe="http",result="success"`: "3", `backend="10.0.0.10",probe="http",result="failure"`: "2",
			`backend="10.0.0.11",probe="http",result="success"`: "0", `backend="10.0.0.11",probe="http",result="failure"`: "0",
		},
		"tidegate_probe_duration_seconds": {`backend="10.0.0.10",probe="http"`: "0.0015"},
	})
	if samples[`tidegate_drops_total{reason="no-backend"}`] != "1" {
		t.Error("the connection to the backend that is set down is not counted")
	}
}

// A backend goes up and leaves; one that has left is nothing to raise an alarm for.
func TestBackendChanges(t *testing.T) {
	g := playBalanced(t)
	const metric = "tidegate_backend_up"
	g.SetHealth("http", packettest.Addr("10.0.0.11"), true)
	got := scrape(t, Options{Gateway: g})
	if got[metric+`{backend="10.0.0.11",pool="vms",probe="http"}`] != "1" {
		t.Errorf("%v", all(got, metric))
	}
	p, err := g.Prepare(balanced(nat.Backend{Addr: packettest.Addr("10.0.0.11")}, nat.Backend{Addr: packettest.Addr("10.0.0.11")}))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Adopt(p); err != nil {
		t.Fatal(err)
	}
	compare(t, scrape(t, Options{Gateway: g}), map[string]map[string]string{
		metric:                  {`backend="10.0.0.11",pool="vms",probe="http"`: "1", `backend="10.0.0.12",pool="plain",probe=""`: "1"},
		"tidegate_probes_total": {},
	})
}

// A hairpin flow's port is no backend's: there is no sample of backend 0.0.0.0.
func TestHairpinLease(t *testing.T) {
	addr := packettest.Addr
	policy, err := nat.NewPolicy(nat.Rules{Internal: []packet.Addr{public}, Inbound: []nat.InboundRule{{Protocol: packet.TCP,
		Frontend: nat.Endpoint{Addr: public, Port: 80}, Backend: nat.Endpoint{Addr: addr("10.0.0.10"), Port: 80}}}})
	if err != nil {
		t.Fatal(err)
	}
	g := playOn(t, gateway.Options{Policy: policy, Rules: []gateway.Rule{{Name: "in", Type: gateway.InboundNATRule, Idle: time.Minute}}},
		syn("10.0.0.77:1", "203.0.113.5:80"))
	if leases := g.Snapshot().Leases; len(leases) != 1 || leases[0].Opened != 1 {
		t.Fatalf("leases are %+v", leases)
	}
	compare(t, scrape(t, Options{Gateway: g}), map[string]map[string]string{
		"tidegate_snat_ports_allocated": {}, "tidegate_snat_ports_used": {}, "tidegate_snat_connections_total": {},
		"tidegate_packets_total": {
			`direction="in",side="inside"`: "1", `direction="out",side="inside"`: "1",
			`direction="in",side="outside"`: "0", `direction="out",side="outside"`: "0",
		},
	})
	if e := g.Explain(packet.Tuple{Src: addr("10.0.0.77"), SrcPort: 2, Dst: public, DstPort: 80, Proto: packet.TCP}, nexthop.Inside); e.Ports.Used != 1 {
		t.Errorf("%+v", e.Ports)
	}
}

// What TestNames does for a gateway without load balancing.
func TestBackendNames(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(Options{Gateway: playBalanced(t), Probes: probed, Datapath: "packet"}))
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
