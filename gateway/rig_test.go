package gateway

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/packetio"
)

// rig is a gateway without goroutines, queues or a clock: a test hands packets
// to its workers one batch at a time and looks at what would be written.
//
//	10.0.0.10, .11 (pool) ─ inside [ 203.0.113.5, .6 ] outside ─ everything else
type rig struct {
	plan Change // what SetBackends changes
	*Gateway
	t     testing.TB
	clock int64
	ports [2]*worker
	sent  [2][][]byte // frames written, by side
	hops  *testRouter

	turned bool // what is passed comes out on the side it came from
}

const (
	ruleEgress, ruleSSH = 0, 1
	memberPorts         = 16
	testIdle            = 4 * time.Minute
	headroom            = 10 + 14
)

var (
	publicAddr  = packettest.Addr("203.0.113.5")
	secondAddr  = packettest.Addr("203.0.113.6")
	insideAddr  = packettest.Addr("10.0.0.1")
	memberAddr  = packettest.Addr("10.0.0.10")
	otherMember = packettest.Addr("10.0.0.11")
)

// testRouter resolves everything but what a test says.
type testRouter struct {
	hop       [2]nexthop.Hop
	status    map[packet.Addr]nexthop.Status
	local     map[packet.Addr]bool
	solicited []packet.Addr
	addresses [2]packet.Addr
	asked     func() // called by Hop, if not nil
	ways      *[]way // what Hop was asked, if not nil
	sided     bool   // 10.0.0.0/8 is inside, and everything else is not
}

// way is a question for a next hop.
type way struct {
	dst packet.Addr
	out nexthop.Side
}

func (r *testRouter) Hop(dst packet.Addr, out nexthop.Side) (*nexthop.Hop, nexthop.Status) {
	if r.asked != nil {
		r.asked()
	}
	if r.ways != nil {
		*r.ways = append(*r.ways, way{dst, out})
	}
	if r.sided && (dst>>24 == 10) != (out == nexthop.Inside) {
		return nil, nexthop.Elsewhere
	}
	if s := r.status[dst]; s != 0 && s != nexthop.Resolved {
		return nil, s
	}
	return &r.hop[out], nexthop.Resolved
}

func (r *testRouter) Solicit(dst packet.Addr)    { r.solicited = append(r.solicited, dst) }
func (r *testRouter) Local(dst packet.Addr) bool { return r.local[dst] }

func (r *testRouter) Address(side nexthop.Side) packet.Addr { return r.addresses[side] }

// testWriter keeps copies.
type testWriter struct {
	r      *rig
	side   nexthop.Side
	layout packetio.Layout
}

func (w testWriter) Layout() packetio.Layout { return w.layout }

func (w testWriter) WriteBatch(frames [][]byte) (int, error) {
	for _, f := range frames {
		w.r.sent[w.side] = append(w.r.sent[w.side], bytes.Clone(f))
	}
	return len(frames), nil
}

func egress() nat.OutboundRule {
	return nat.OutboundRule{
		Rule: ruleEgress, Name: "egress", Frontends: []packet.Addr{publicAddr},
		Protocols: []packet.Protocol{packet.TCP, packet.UDP, packet.ICMP},
		Members:   []packet.Addr{memberAddr, otherMember}, Ports: memberPorts,
	}
}

func ssh() nat.InboundRule {
	return nat.InboundRule{
		Rule: ruleSSH, Name: "ssh", Protocol: packet.TCP,
		Frontend: nat.Endpoint{Addr: publicAddr, Port: 2222},
		Backend:  nat.Endpoint{Addr: memberAddr, Port: 22},
	}
}

// lateOff has packets without a flow go unanswered.
func lateOff(o *Options) {
	for i := range o.Rules {
		o.Rules[i].Late = false
	}
}

func newPolicy(t testing.TB, out nat.OutboundRule, in ...nat.InboundRule) *nat.Policy {
	t.Helper()
	p, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{publicAddr, secondAddr}, Outbound: []nat.OutboundRule{out}, Inbound: in,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, clock: int64(time.Hour), hops: &testRouter{
		status: map[packet.Addr]nexthop.Status{}, local: map[packet.Addr]bool{insideAddr: true}, addresses: [2]packet.Addr{insideAddr, 0},
	}}
	for side := range r.hops.hop {
		r.hops.hop[side].MTU = 1500
		r.hops.hop[side].Ether = [nexthop.EtherLen]byte{2, 0, 0, 0, byte(side), 9, 2, 0, 0, 0, byte(side), 1, 8, 0}
	}
	layout := packetio.Layout{Vnet: 10, Link: 14}
	port := Port{Router: r.hops}
	for side := range port.Writers {
		port.Writers[side] = testWriter{r, nexthop.Side(side), layout}
	}
	inside, outside := port, port
	outside.Side = nexthop.Outside
	o := Options{
		MaxFlows: 1024, Policy: newPolicy(t, egress(), ssh()), Control: port, Workers: []Port{inside, outside},
		Rules: []Rule{
			{Name: "egress", Type: OutboundRule, Idle: testIdle, Reset: true, Late: true},
			{Name: "ssh", Type: InboundNATRule, Idle: testIdle, Reset: true, Late: true},
		},
		Timers: conntrack.Timers{HalfOpen: 30 * time.Second, FinHold: 65 * time.Second, ResetHold: 16 * time.Second, ICMP: 30 * time.Second},
		Now:    func() int64 { return r.clock },
		Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if r.Gateway, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	copy(r.ports[:], r.workers)
	return r
}

// send hands one IP packet to the gateway from that side and returns its verdict.
func (r *rig) send(from nexthop.Side, ip []byte) Verdict {
	r.t.Helper()
	if r.ports[from].layout.headroom == 0 {
		return r.sendFrame(from, bytes.Clone(ip))
	}
	return r.sendFrame(from, packettest.Ethernet(ip, packettest.Link{VNet: true}))
}

func (r *rig) sendFrame(from nexthop.Side, frame []byte) Verdict {
	r.t.Helper()
	before := r.counters.Verdicts
	w := r.ports[from]
	w.forwardBatch([][]byte{frame}, r.clock)
	if err := w.flush(); err != nil {
		r.t.Fatal(err)
	}
	for i := range frame {
		frame[i] = 0xdb // its life is over
	}
	var got []Verdict
	for v := range numVerdicts {
		for range r.counters.Verdicts[v] - before[v] {
			got = append(got, v)
		}
	}
	if len(got) != 1 {
		r.t.Fatalf("a packet with the verdicts %v", got)
	}
	return got[0]
}

func (r *rig) expect(want Verdict, from nexthop.Side, ip []byte) {
	r.t.Helper()
	if got := r.send(from, ip); got != want {
		r.t.Fatalf("%s: verdict %v, want %v", packettest.Describe(ip), got, want)
	}
}

// take returns what was written to that side, checked, and forgets it.
func (r *rig) take(side nexthop.Side) []packettest.View {
	r.t.Helper()
	var views []packettest.View
	for _, ip := range r.takeRaw(side) {
		packettest.Check(r.t, ip)
		views = append(views, packettest.Fields(r.t, ip))
	}
	return views
}

// takeRaw is take without the checks: IP packets, with the checksum that a
// device completes.
func (r *rig) takeRaw(side nexthop.Side) (packets [][]byte) {
	layout := r.ports[side].layout
	for _, f := range r.sent[side] {
		ip := f[layout.headroom:]
		if layout.Vnet != 0 && f[vnetFlags]&vnetNeedsCsum != 0 {
			ip = packettest.Complete(ip)
		}
		packets = append(packets, ip)
	}
	r.sent[side] = nil
	return packets
}

// silent wants that nothing has been written to either side.
func (r *rig) silent() {
	r.t.Helper()
	for side := range r.sent {
		for _, v := range r.take(nexthop.Side(side)) {
			r.t.Errorf("went out %v: %+v", nexthop.Side(side), v)
		}
	}
}

// one is take for exactly one packet.
func (r *rig) one(side nexthop.Side) packettest.View {
	r.t.Helper()
	views := r.take(side)
	if len(views) != 1 {
		r.t.Fatalf("%d packets went out %v, want 1: %+v", len(views), side, views)
	}
	return views[0]
}

// pass forwards a packet and returns it as it went out on the other side.
func (r *rig) pass(from nexthop.Side, ip []byte) packettest.View {
	r.t.Helper()
	r.expect(Forwarded, from, ip)
	if r.turned {
		return r.one(from)
	}
	return r.one(opposite(from))
}

// sleep lets time go by, with the control goroutine's work done every 50 ms.
func (r *rig) sleep(d time.Duration) {
	r.t.Helper()
	const step = 50 * time.Millisecond
	buf := make([]conntrack.Ended, 0, sweepBudget)
	for ; d > 0; d -= step {
		r.clock += int64(min(d, step))
		if err := r.control.release(); err != nil {
			r.t.Fatal(err)
		}
		if err := r.control.sweep(r.t.Context(), buf); err != nil {
			r.t.Fatal(err)
		}
		r.rebalance()
	}
}

// rebalance carries out what probes and operators have said.
func (r *rig) rebalance() {
	r.t.Helper()
	if err := r.control.rebalance(); err != nil {
		r.t.Fatal(err)
	}
}
