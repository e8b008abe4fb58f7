package gateway

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/packetio"
	"tidegate/packetio/packetiotest"
)

// world is a running gateway with two queues on each side, and at their far ends
// hosts that answer whatever reaches them.
type world struct {
	*Gateway
	t       *testing.T
	queues  [2][2]*packetiotest.Queue // by side
	arrived [2]atomic.Int64           // packets, by the side they came out on
	resets  [2]atomic.Int64
	done    chan error
	stop    context.CancelFunc
	hosts   sync.WaitGroup
	silence chan struct{}
}

var worldLayout = packetio.Layout{Vnet: 10, Link: 14}

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, done: make(chan error, 1), silence: make(chan struct{})}
	for side := range w.queues {
		for i := range w.queues[side] {
			w.queues[side][i] = packetiotest.New(worldLayout, 1<<14)
		}
	}
	start := time.Now()
	live := func(o *Options) {
		o.Workers = nil
		for i := range w.queues[0] {
			for side := range w.queues {
				o.Workers = append(o.Workers, w.port(nexthop.Side(side), i))
			}
		}
		o.Control = w.port(nexthop.Inside, 0)
		o.Control.Reader = nil
		o.Now = func() int64 { return int64(time.Since(start)) }
	}
	r := newRig(t, append([]func(*Options){live}, change...)...)
	w.Gateway = r.Gateway
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() { w.done <- w.Run(ctx) }()
	return w
}

func (w *world) port(side nexthop.Side, i int) Port {
	p := Port{Side: side, Reader: w.queues[side][i], Router: &testRouter{}}
	for s := range p.Writers {
		p.Writers[s] = w.queues[s][i]
	}
	for s := range p.Router.(*testRouter).hop {
		p.Router.(*testRouter).hop[s].MTU = 1500
	}
	return p
}

// inject has a packet arrive on some queue of that side.
func (w *world) inject(side nexthop.Side, ip []byte) {
	w.queues[side][rand.IntN(2)].Inject(packettest.Ethernet(ip, packettest.Link{VNet: true}))
}

// populate starts the hosts behind every queue.
func (w *world) populate() {
	for side := range w.queues {
		for i := range w.queues[side] {
			w.hosts.Go(func() { w.inhabit(nexthop.Side(side), w.queues[side][i].Sent()) })
		}
	}
}

func (w *world) inhabit(side nexthop.Side, sent <-chan []byte) {
	for {
		select {
		case <-w.silence:
			return
		case f := <-sent:
			w.receive(side, f[worldLayout.Headroom():])
		}
	}
}

// receive checks that the packet may be there, and has its host answer.
func (w *world) receive(side nexthop.Side, b []byte) {
	if err := packettest.Verify(b); err != nil {
		w.t.Errorf("%v out: %v", side, err)
		return
	}
	v := packettest.Fields(w.t, b)
	w.arrived[side].Add(1)
	if v.Proto == packet.ICMP {
		return
	}
	ours, theirs := v.Src, v.Dst
	if side == nexthop.Inside {
		ours, theirs = v.Dst, v.Src
	}
	if want := map[nexthop.Side]string{nexthop.Inside: "10.0.0.1", nexthop.Outside: "203.0.113.5"}[side]; len(ours) < len(want) || ours[:len(want)] != want {
		w.t.Errorf("%v out: %s", side, packettest.Describe(b))
	}
	if hostOf(theirs) != serverHost {
		w.t.Errorf("%v out: %s", side, packettest.Describe(b))
	}
	if answer := respond(v); answer != nil {
		w.inject(side, answer)
	}
	if v.Flags&packet.RST != 0 {
		w.resets[side].Add(1)
	}
}

// respond is a host without memory: its payload, a number, counts down.
func respond(v packettest.View) []byte {
	n, _ := strconv.Atoi(v.Payload)
	next := strconv.Itoa(n - 1)
	if v.Proto == packet.UDP {
		if n == 0 {
			return nil
		}
		return packettest.UDP(packettest.Datagram{Src: v.Dst, Dst: v.Src, Payload: next})
	}
	s := packettest.Segment{Src: v.Dst, Dst: v.Src, Seq: v.Ack, Ack: v.Seq + uint32(len(v.Payload)), Flags: packet.ACK, Payload: next}
	switch {
	case v.Flags&packet.RST != 0:
		return nil
	case v.Flags&packet.SYN != 0 && v.Flags&packet.ACK == 0:
		s.Seq, s.Ack, s.Flags, s.Payload = 77, v.Seq+1, packet.SYN|packet.ACK, ""
	case v.Flags&packet.SYN != 0:
		s.Ack, s.Payload = v.Seq+1, "20"
	case n == 0:
		return nil
	}
	return packettest.TCP(s)
}

// end ends the hosts, and the gateway, which must have no error to report.
func (w *world) end() {
	w.t.Helper()
	w.stop()
	select {
	case err := <-w.done:
		if err != nil {
			w.t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		w.t.Fatal("Run does not end")
	}
	close(w.silence)
	w.hosts.Wait()
}
