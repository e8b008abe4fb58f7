package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/metrics"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/packetio"
	"tidegate/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a whole gateway in memory with its API on a real unix socket.
//
//	10.0.0.10, .11 (egress: .5, 16 ports each) ┐          ┌ 203.0.113.5 public, .6 second
//	10.0.0.20 (wide, TCP: .6, .64, .65)        ┴─ inside ─┴ 203.0.113.64, .65 block ─ outside
type rig struct {
	t       *testing.T
	gateway *gateway.Gateway
	options Options
	clock   atomic.Int64
	in      [2]chan []byte
	out     [2]chan []byte // IP packets written, by side
	socket  string
	client  *api.Client
	ready   atomic.Pointer[error]
	lost    atomic.Uint64
	probes  atomic.Pointer[[]probe.Status]
}

const testIdle = 4 * time.Minute

var frontends = map[packet.Addr]string{
	packettest.Addr("203.0.113.5"): "public", packettest.Addr("203.0.113.6"): "second",
	packettest.Addr("203.0.113.64"): "block", packettest.Addr("203.0.113.65"): "block",
	packettest.Addr("10.0.0.4"): "internal", packettest.Addr("203.0.113.9"): "pip0",
}

// queue is a Reader of one packet at a time, and newRig's Writer.
type queue struct {
	packets chan []byte
	closed  chan struct{}
	once    *sync.Once
}

func newQueue(packets chan []byte) queue { return queue{packets, make(chan struct{}), new(sync.Once)} }

func (q queue) Layout() packetio.Layout { return packetio.Layout{} }

func (q queue) ReadBatch(frames [][]byte) (int, error) {
	select {
	case frames[0] = <-q.packets:
		return 1, nil
	case <-q.closed:
		return 0, net.ErrClosed
	}
}

func (q queue) WriteBatch(frames [][]byte) (int, error) {
	for _, f := range frames {
		q.packets <- append([]byte(nil), f...)
	}
	return len(frames), nil
}

func (q queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// everywhere is a Router that knows the way to all but the lost.
type everywhere struct{ hop nexthop.Hop }

// lost are addresses that there is no ready way to.
var lost = map[packet.Addr]nexthop.Status{
	packettest.Addr("192.0.2.66"): nexthop.Unreachable, packettest.Addr("192.0.2.77"): nexthop.NoRoute,
	packettest.Addr("192.0.2.88"): nexthop.Unresolved, packettest.Addr("192.0.2.99"): nexthop.Elsewhere,
}

// hostAddr is the host's own.
var hostAddr = packettest.Addr("192.0.2.200")

func (r *everywhere) Hop(dst packet.Addr, _ nexthop.Side) (*nexthop.Hop, nexthop.Status) {
	if status, ok := lost[dst]; ok {
		return nil, status
	}
	return &r.hop, nexthop.Resolved
}
func (r *everywhere) Solicit(packet.Addr)      {}
func (r *everywhere) Local(a packet.Addr) bool { return a == hostAddr }

func (r *everywhere) Address(nexthop.Side) packet.Addr { return 0 }

func testPolicy(t *testing.T) *nat.Policy {
	t.Helper()
	addr := packettest.Addr
	p, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{addr("203.0.113.5"), addr("203.0.113.6"), addr("203.0.113.64"), addr("203.0.113.65")},
		Outbound: []nat.OutboundRule{
			{Rule: 0, Name: "egress", Protocols: []packet.Protocol{packet.TCP, packet.UDP, packet.ICMP},
				Frontends: []packet.Addr{addr("203.0.113.5")}, Members: []packet.Addr{addr("10.0.0.10"), addr("10.0.0.11")}, Ports: 16},
			{Rule: 1, Name: "wide", Protocols: []packet.Protocol{packet.TCP},
				Frontends: []packet.Addr{addr("203.0.113.6"), addr("203.0.113.64"), addr("203.0.113.65")},
				Members:   []packet.Addr{addr("10.0.0.20")}, Ports: 2*64000 + 8},
		},
		Inbound: []nat.InboundRule{{Rule: 2, Name: "ssh", Protocol: packet.TCP,
			Frontend: nat.Endpoint{Addr: addr("203.0.113.5"), Port: 2222}, Backend: nat.Endpoint{Addr: addr("10.0.0.10"), Port: 22}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testOptions(t *testing.T) gateway.Options {
	t.Helper()
	return gateway.Options{
		MaxFlows: 1024, Policy: testPolicy(t), Names: frontends, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Timers: conntrack.Timers{HalfOpen: 30 * time.Second, FinHold: 65 * time.Second, ResetHold: 16 * time.Second, ICMP: 30 * time.Second},
		Rules: []gateway.Rule{
			{Name: "egress", Type: gateway.OutboundRule, Idle: testIdle, Reset: true},
			{Name: "wide", Type: gateway.OutboundRule, Idle: testIdle},
			{Name: "ssh", Type: gateway.InboundNATRule, Idle: 5 * time.Minute, Reset: true},
		},
	}
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, testOptions(t))
}

// newRigOf runs a gateway of those options, to which it adds queues and a clock.
func newRigOf(t *testing.T, o gateway.Options) *rig {
	t.Helper()
	r := &rig{t: t, socket: filepath.Join(t.TempDir(), "run", "api.sock")}
	r.clock.Store(int64(time.Hour))
	control := memoryPort(&r.out)
	for side := range r.in {
		r.in[side] = make(chan []byte)
		p := control
		p.Reader, p.Side = newQueue(r.in[side]), nexthop.Side(side)
		o.Workers = append(o.Workers, p)
	}
	o.Control, o.Now = control, r.clock.Load
	var err error
	if r.gateway, err = gateway.New(o); err != nil {
		t.Fatal(err)
	}
	r.start()
	return r
}

// memoryPort is one without a reader, which writes to channels that it makes.
func memoryPort(out *[2]chan []byte) gateway.Port {
	router := new(everywhere)
	router.hop.MTU = 1500
	p := gateway.Port{Router: router}
	for side := range out {
		out[side] = make(chan []byte, 4096)
		p.Writers[side] = newQueue(out[side])
	}
	return p
}

// start runs the gateway and its API until the test ends.
func (r *rig) start() {
	r.options = Options{
		Gateway: r.gateway, Version: "1.2.3", Datapath: "packet",
		DatapathReason: "the fastest here", Started: time.Now().Add(-time.Minute), Ready: r.readiness,
		Drops:   func() map[string]uint64 { return map[string]uint64{"rx-overflow": r.lost.Load()} },
		Probes:  r.probed,
		Metrics: metrics.Handler(metrics.Options{Gateway: r.gateway}),
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := r.gateway.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	serve(r.t, New(r.options), "unix:"+r.socket)
	r.client = newClient(r.t, "unix:"+r.socket)
	r.t.Cleanup(func() {
		cancel()
		wait.Wait()
		r.gateway.Close()
	})
}

// serve runs s on real listeners until the test ends, and checks its answers by its
// own document.
func serve(t *testing.T, s *Server, addresses ...string) []net.Listener {
	t.Helper()
	listeners, err := Listen(addresses, ListenOptions{Tokens: s.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listeners) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listeners
}

func newClient(t *testing.T, address string) *api.Client {
	t.Helper()
	c, err := api.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (r *rig) probed() []probe.Status {
	if all := r.probes.Load(); all != nil {
		return *all
	}
	return nil
}

func (r *rig) readiness() error {
	if err := r.ready.Load(); err != nil {
		return *err
	}
	return nil
}

// answer is what came back for one request.
type answer struct {
	status int
	header http.Header
	body   string
}

// request asks over the socket as curl would.
func (r *rig) request(method, target string, header ...string) answer {
	r.t.Helper()
	return r.requestWith(http.NoBody, method, target, header...)
}

func (r *rig) requestWith(body io.Reader, method, target string, header ...string) answer {
	r.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://tidegate"+target, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (r *rig) get(target string) answer { return r.request(http.MethodGet, target) }

// take waits for the next packet that leaves on a side.
func (r *rig) take(side nexthop.Side) packettest.View {
	r.t.Helper()
	select {
	case b := <-r.out[side]:
		packettest.Check(r.t, b)
		return packettest.Fields(r.t, b)
	case <-time.After(5 * time.Second):
		r.t.Fatalf("no packet leaves %v", side)
	}
	return packettest.View{}
}

// pass sends a packet from a side and returns it as it left on the other.
func (r *rig) pass(from nexthop.Side, ip []byte) packettest.View {
	r.t.Helper()
	r.in[from] <- ip
	return r.take(from ^ 1)
}

// open opens a TCP connection from the inside and returns its external endpoint.
func (r *rig) open(src, dst string) (external string) {
	r.t.Helper()
	external = r.syn(src, dst)
	r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: dst, Dst: external, Seq: 5000, Ack: 1001, Flags: packet.SYN | packet.ACK}))
	r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: src, Dst: dst, Seq: 1001, Ack: 5001, Flags: packet.ACK}))
	return external
}

// syn begins one only.
func (r *rig) syn(src, dst string) (external string) {
	r.t.Helper()
	return r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: src, Dst: dst, Seq: 1000, Flags: packet.SYN})).Src
}

// finish closes a connection that open opened, from both ends.
func (r *rig) finish(src, dst, external string) {
	r.t.Helper()
	r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: src, Dst: dst, Seq: 1001, Ack: 5001, Flags: packet.FIN | packet.ACK}))
	r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: dst, Dst: external, Seq: 5001, Ack: 1002, Flags: packet.FIN | packet.ACK}))
}

func (r *rig) datagram(src, dst string) (external string) {
	r.t.Helper()
	return r.pass(nexthop.Inside, packettest.UDP(packettest.Datagram{Src: src, Dst: dst, Payload: "?"})).Src
}

// flows lists by the words of a command line.
func (r *rig) flows(words ...string) api.FlowList {
	r.t.Helper()
	f, err := api.ParseFilter(words)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := r.client.Flows(r.t.Context(), api.FlowQuery{Filter: f})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func problemOf(t *testing.T, err error) *api.Problem {
	t.Helper()
	var p *api.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%v is no problem of the server's", err)
	}
	return p
}
