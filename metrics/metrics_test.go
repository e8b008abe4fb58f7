package metrics

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/packetio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a Reader of packets written down before, and a Writer that forgets.
type tape struct {
	packets [][]byte
	ended   chan struct{}
	closed  chan struct{}
	once    sync.Once
}

func (*tape) Layout() packetio.Layout { return packetio.Layout{} }

func (t *tape) ReadBatch(frames [][]byte) (int, error) {
	if len(t.packets) == 0 {
		close(t.ended)
		<-t.closed
		return 0, net.ErrClosed
	}
	frames[0], t.packets = t.packets[0], t.packets[1:]
	return 1, nil
}

func (t *tape) WriteBatch(frames [][]byte) (int, error) { return len(frames), nil }

func (t *tape) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

var (
	public = packettest.Addr("203.0.113.5")
	block  = []packet.Addr{packettest.Addr("203.0.113.64"), packettest.Addr("203.0.113.65")}
	names  = map[packet.Addr]string{public: "public", block[0]: "block", block[1]: "block"}
)

const spread = 64000 + 8 // a lease of that size takes all of one address and some of the next

func newPolicy(t *testing.T) *nat.Policy {
	t.Helper()
	p, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{public, block[0], block[1]},
		Outbound: []nat.OutboundRule{
			{Rule: 0, Name: "egress", Protocols: []packet.Protocol{packet.TCP, packet.UDP}, Frontends: []packet.Addr{public},
				Members: []packet.Addr{packettest.Addr("10.0.0.10"), packettest.Addr("10.0.0.11")}, Ports: 16},
			{Rule: 1, Name: "wide", Protocols: []packet.Protocol{packet.TCP}, Frontends: block,
				Members: []packet.Addr{packettest.Addr("10.0.0.20")}, Ports: spread},
		},
		Inbound: []nat.InboundRule{{Rule: 2, Name: "ssh", Protocol: packet.TCP,
			Frontend: nat.Endpoint{Addr: public, Port: 2222}, Backend: nat.Endpoint{Addr: packettest.Addr("10.0.0.10"), Port: 22}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// play runs a gateway of outbound rules and one inbound NAT rule.
func play(t *testing.T, inbound string, packets ...[]byte) *gateway.Gateway {
	t.Helper()
	return playOn(t, gateway.Options{
		Policy: newPolicy(t),
		Rules: []gateway.Rule{
			{Name: "egress", Type: gateway.OutboundRule, Idle: time.Minute, Reset: true},
			{Name: "wide", Type: gateway.OutboundRule, Idle: time.Minute},
			{Name: inbound, Type: gateway.InboundNATRule, Idle: time.Minute},
		},
	}, packets...)
}

// playOn runs a gateway in memory until it has decided on all packets; both sides
// come through one tunnel, so that they come in order.
func playOn(t *testing.T, o gateway.Options, packets ...[]byte) *gateway.Gateway {
	t.Helper()
	source := &tape{packets: packets, ended: make(chan struct{}), closed: make(chan struct{})}
	port := gateway.Port{Writers: [2]gateway.Writer{source, source}, Router: gateway.NewTunnelRouter(), Tunnel: true}
	worker := port
	worker.Reader = source
	o.Names = names
	o.MaxFlows, o.Control, o.Workers = 1024, port, []gateway.Port{worker}
	o.Now, o.Log = func() int64 { return int64(time.Hour) }, slog.New(slog.NewTextHandler(io.Discard, nil))
	o.Timers = conntrack.Timers{HalfOpen: time.Minute, FinHold: time.Minute, ResetHold: time.Minute, ICMP: time.Minute}
	g, err := gateway.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		g.Close()
	})
	<-source.ended
	return g
}

// traffic is a connection in from outside, 18 datagrams of a member with 16
// ports, a connection out that is not answered, a segment
// of none, and a broken packet.
func traffic() (packets [][]byte) {
	const client, backend, frontend = "198.51.100.9:5000", "10.0.0.10:22", "203.0.113.5:2222"
	packets = append(packets,
		packettest.TCP(packettest.Segment{Src: client, Dst: frontend, Seq: 1000, Flags: packet.SYN}),
		packettest.TCP(packettest.Segment{Src: backend, Dst: client, Seq: 5000, Ack: 1001, Flags: packet.SYN | packet.ACK}),
		packettest.TCP(packettest.Segment{Src: client, Dst: frontend, Seq: 1001, Ack: 5001, Flags: packet.ACK}))
	for i := range 18 {
		packets = append(packets, packettest.UDP(packettest.Datagram{Src: "10.0.0.11:" + strconv.Itoa(1+i), Dst: "198.51.100.7:53"}))
	}
	return append(packets,
		packettest.TCP(packettest.Segment{Src: "10.0.0.20:1", Dst: "198.51.100.7:443", Flags: packet.SYN}),
		packettest.TCP(packettest.Segment{Src: "10.0.0.20:2", Dst: "198.51.100.7:443", Flags: packet.ACK}),
		[]byte{0x45, 0, 0, 20})
}

// scrape returns the samples of a gateway's own metrics, value by name and labels.
func scrape(t *testing.T, o Options) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	samples := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(name, "tidegate_") {
			samples[name+"}"] = value
		} else if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "tidegate_") {
			samples[name] = value
		}
	}
	return samples
}

// nonzero picks the samples of one metric that are not 0.
func nonzero(samples map[string]string, metric string) map[string]string {
	picked := all(samples, metric)
	maps.DeleteFunc(picked, func(_, value string) bool { return value == "0" })
	return picked
}

// all picks the samples of one metric.
func all(samples map[string]string, metric string) map[string]string {
	picked := make(map[string]string)
	for name, value := range samples {
		if labels, ok := strings.CutPrefix(name, metric+"{"); ok {
			picked[strings.TrimSuffix(labels, "}")] = value
		}
	}
	return picked
}

// afterTraffic is what traffic leaves of each metric above 0.
var afterTraffic = map[string]map[string]string{
	"tidegate_flows": {
		`protocol="udp",rule="egress",state="ACTIVE"`: "16", `protocol="tcp",rule="wide",state="SYN_SENT"`: "1",
		`protocol="tcp",rule="ssh",state="ESTABLISHED"`: "1",
	},
	"tidegate_flows_created_total": {
		`protocol="udp",rule="egress"`: "16", `protocol="tcp",rule="wide"`: "1", `protocol="tcp",rule="ssh"`: "1",
	},
	"tidegate_flows_closed_total":    {},
	"tidegate_tcp_resets_sent_total": {},
	"tidegate_datapath_info":         {`datapath="tun"`: "1"},
	"tidegate_packets_total":         {`direction="in",side="inside"`: "22", `direction="in",side="outside"`: "2", `direction="out",side="inside"`: "4", `direction="out",side="outside"`: "18"},
	"tidegate_drops_total":           {`reason="snat-exhausted"`: "2", `reason="no-flow"`: "1", `reason="truncated"`: "1", `reason="rx-overflow"`: "7"},
	"tidegate_snat_connections_total": {
		`backend="10.0.0.11",frontend="public",protocol="udp",state="successful"`: "16",
		`backend="10.0.0.11",frontend="public",protocol="udp",state="failed"`:     "2",
		`backend="10.0.0.20",frontend="block",protocol="tcp",state="successful"`:  "1",
	},
	"tidegate_snat_ports_used": {
		`backend="10.0.0.11",frontend="public",protocol="udp"`: "16", `backend="10.0.0.20",frontend="block",protocol="tcp"`: "1",
	},
	"tidegate_snat_ports_allocated": {
		`backend="10.0.0.10",frontend="public",protocol="tcp"`: "16", `backend="10.0.0.10",frontend="public",protocol="udp"`: "16",
		`backend="10.0.0.11",frontend="public",protocol="tcp"`: "16", `backend="10.0.0.11",frontend="public",protocol="udp"`: "16",
		`backend="10.0.0.20",frontend="block",protocol="tcp"`: "64008",
	},
}

func TestValues(t *testing.T) {
	g := play(t, "ssh", traffic()...)
	o := Options{Gateway: g, Datapath: "tun",
		Drops: func() map[string]uint64 { return map[string]uint64{"rx-overflow": 7, "tx-refused": 0} }}
	samples := scrape(t, o)
	for metric, values := range afterTraffic {
		if diff := cmp.Diff(values, nonzero(samples, metric)); diff != "" {
			t.Errorf("%s: %s", metric, diff)
		}
	}
	if samples["tidegate_config_last_reload_successful"] != "1" {
		t.Error("the configuration is not said to be good")
	}
	if samples[`tidegate_bytes_total{direction="in",side="outside"}`] != "80" {
		t.Errorf("bytes are %v", nonzero(samples, "tidegate_bytes_total"))
	}
}

func TestKilled(t *testing.T) {
	g := play(t, "ssh", traffic()...)
	if n, err := g.Kill(func(f *conntrack.Flow) bool { return f.Rule == 2 }); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	samples := scrape(t, Options{Gateway: g})
	for metric, values := range map[string]map[string]string{
		"tidegate_flows_closed_total": {`protocol="tcp",reason="killed",rule="ssh"`: "1"},
		"tidegate_tcp_resets_sent_total": {
			`reason="killed",rule="ssh",side="client"`: "1", `reason="killed",rule="ssh",side="server"`: "1",
		},
	} {
		if diff := cmp.Diff(values, nonzero(samples, metric)); diff != "" {
			t.Errorf("%s: %s", metric, diff)
		}
	}
}

// Rules of different sections may have the same name.
func TestSameName(t *testing.T) {
	g := play(t, "egress", traffic()...)
	got := nonzero(scrape(t, Options{Gateway: g}), "tidegate_flows_created_total")
	want := map[string]string{`protocol="udp",rule="egress"`: "16", `protocol="tcp",rule="egress"`: "1", `protocol="tcp",rule="wide"`: "1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Everything that can be counted is there before it is.
func TestZeroes(t *testing.T) {
	samples := scrape(t, Options{Gateway: play(t, "ssh"), Datapath: "packet",
		Drops: func() map[string]uint64 { return map[string]uint64{"rx-overflow": 0, "tx-refused": 0} }})
	want := []string{
		`tidegate_drops_total{reason="rx-overflow"}`, `tidegate_drops_total{reason="tx-refused"}`,
		`tidegate_flows{protocol="tcp",rule="ssh",state="TIME_WAIT"}`, `tidegate_flows{protocol="icmp",rule="egress",state="ACTIVE"}`,
		`tidegate_flows_closed_total{protocol="tcp",reason="half-open",rule="wide"}`,
		`tidegate_tcp_resets_sent_total{reason="challenge",rule="egress",side="server"}`,
		`tidegate_snat_connections_total{backend="10.0.0.10",frontend="public",protocol="udp",state="failed"}`,
		`tidegate_snat_ports_used{backend="10.0.0.20",frontend="block",protocol="tcp"}`,
		`tidegate_packets_total{direction="out",side="inside"}`, `tidegate_bytes_total{direction="in",side="outside"}`,
	}
	var counters gateway.Counters
	for i := range counters.Verdicts {
		if v := gateway.Verdict(i); v.Drop() {
			want = append(want, `tidegate_drops_total{reason="`+v.String()+`"}`)
		}
	}
	for _, name := range want {
		if samples[name] != "0" {
			t.Errorf("%s is %q", name, samples[name])
		}
	}
	for name := range samples {
		if strings.Contains(name, `"TOMBSTONE"`) || strings.Contains(name, `"FREE"`) || strings.Contains(name, `protocol="udp",rule="ssh",state="CLOSED"`) {
			t.Errorf("%s can't be", name)
		}
	}
	if _, there := samples[`tidegate_drops_total{reason="forwarded"}`]; there {
		t.Error("what is forwarded counts as dropped")
	}
}

// The names and labels are a promise.
func TestNames(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(Options{Gateway: play(t, "ssh"), Datapath: "packet", Lost: func() map[string]uint64 { return map[string]uint64{"log": 0} }}))
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
	gathered, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, family := range gathered {
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		got[family.GetName()] = strings.ToLower(family.GetType().String()) + " " + strings.Join(labels, " ")
	}
	want := map[string]string{
		"tidegate_flows":                         "gauge protocol rule state",
		"tidegate_flows_created_total":           "counter protocol rule",
		"tidegate_flows_closed_total":            "counter protocol reason rule",
		"tidegate_tcp_resets_sent_total":         "counter reason rule side",
		"tidegate_snat_ports_allocated":          "gauge backend frontend protocol",
		"tidegate_snat_ports_used":               "gauge backend frontend protocol",
		"tidegate_snat_connections_total":        "counter backend frontend protocol state",
		"tidegate_packets_total":                 "counter direction side",
		"tidegate_bytes_total":                   "counter direction side",
		"tidegate_drops_total":                   "counter reason",
		"tidegate_datapath_info":                 "gauge datapath",
		"tidegate_config_last_reload_successful": "gauge ",
		"tidegate_snat_ports_draining":           "gauge ",
		"tidegate_flows_max":                     "gauge ",
		"tidegate_events_lost_total":             "counter sink",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOpenMetrics(t *testing.T) {
	req := httptest.NewRequest("GET", "/metrics", nil)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	Handler(Options{Gateway: play(t, "ssh"), Datapath: "packet"}).ServeHTTP(w, req)
	body := w.Body.String()
	if !strings.HasSuffix(body, "# EOF\n") || !strings.Contains(body, "# TYPE tidegate_drops counter\n") {
		t.Error(body)
	}
}
