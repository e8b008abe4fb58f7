package deploy_test

import (
	"log/slog"
	"net"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/metrics"
	"tidegate/nat"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/packetio"
	"tidegate/probe"
)

// still is a side of the gateway on which nothing happens.
type still struct{}

func (still) Layout() packetio.Layout                     { return packetio.Layout{} }
func (still) ReadBatch([][]byte) (int, error)             { return 0, net.ErrClosed }
func (still) WriteBatch(frames [][]byte) (n int, _ error) { return len(frames), nil }
func (still) Close() error                                { return nil }

// newGateway has a rule of each kind that shows in metrics: SNAT, and a pool with a probe.
func newGateway(t *testing.T) *gateway.Gateway {
	t.Helper()
	public, member := packettest.Addr("203.0.113.5"), packettest.Addr("10.0.0.10")
	pool := &nat.Pool{Name: "vms", Probe: "http", Rules: []uint16{1}, Backends: []nat.Backend{{Addr: member}}}
	policy, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{public},
		Outbound: []nat.OutboundRule{{Rule: 0, Name: "egress", Protocols: []packet.Protocol{packet.TCP},
			Frontends: []packet.Addr{public}, Members: []packet.Addr{member}, Ports: 8}},
		Inbound: []nat.InboundRule{{Rule: 1, Name: "web", Protocol: packet.TCP, Pool: pool,
			Frontend: nat.Endpoint{Addr: public, Port: 443}, Backend: nat.Endpoint{Port: 8443}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	port := gateway.Port{Writers: [2]gateway.Writer{still{}, still{}}, Router: gateway.NewTunnelRouter(), Tunnel: true}
	worker := port
	worker.Reader = still{}
	g, err := gateway.New(gateway.Options{
		MaxFlows: 64, Policy: policy, Pools: []*nat.Pool{pool}, Control: port, Workers: []gateway.Port{worker},
		Names: gateway.Names{public: "public"}, Now: func() int64 { return int64(time.Hour) }, Log: slog.New(slog.DiscardHandler),
		Rules:  []gateway.Rule{{Name: "egress", Type: gateway.OutboundRule, Idle: time.Minute}, {Name: "web", Type: gateway.LoadBalancingRule, Idle: time.Minute}},
		Timers: conntrack.Timers{HalfOpen: time.Minute, FinHold: time.Minute, ResetHold: time.Minute, ICMP: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// shown is the labels of each metric that a scrape of a gateway shows, by name.
type shown map[string]map[string]bool

var (
	sample = regexp.MustCompile(`^(\w+)(?:\{(.*)\})? `)
	label  = regexp.MustCompile(`(\w+)="`)
)

func scrape(t *testing.T) shown {
	t.Helper()
	target := probe.Target{Probe: "http", Backend: packettest.Addr("10.0.0.10").Netip()}
	w := httptest.NewRecorder()
	metrics.Handler(metrics.Options{
		Gateway: newGateway(t), Datapath: "tun",
		Probes: func() []probe.Status { return []probe.Status{{Target: target, Known: true}} },
		Lost:   func() map[string]uint64 { return map[string]uint64{"log": 0} },
	}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	all := shown{"up": {"job": true, "instance": true}} // Prometheus' own
	for line := range strings.Lines(w.Body.String()) {
		m := sample.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		all.add(m[1], label.FindAllStringSubmatch(m[2], -1))
	}
	return all
}

func (s shown) add(metric string, labels [][]string) {
	if s[metric] == nil {
		s[metric] = map[string]bool{"job": true, "instance": true} // Prometheus adds these
	}
	for _, l := range labels {
		s[metric][l[1]] = true
	}
}
