package gateway

import (
	"encoding/binary"
	"testing"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// nowhere takes what is written.
type nowhere struct{ Writer }

func (nowhere) WriteBatch(frames [][]byte) (int, error) { return len(frames), nil }

// mute has what the workers write go nowhere.
func (r *rig) mute() {
	for _, w := range r.workers {
		for side := range w.port.Writers {
			w.port.Writers[side] = nowhere{w.port.Writers[side]}
		}
	}
}

// batch is frames that can be sent again and again: forwarding writes into them.
type batch struct {
	frames, fresh [][]byte
}

func newBatch(frames ...[]byte) *batch {
	b := &batch{}
	for _, f := range frames {
		b.fresh = append(b.fresh, f)
		b.frames = append(b.frames, append([]byte(nil), f...))
	}
	return b
}

func (b *batch) restore() [][]byte {
	for i, f := range b.fresh {
		copy(b.frames[i], f)
	}
	return b.frames
}

// forward is one turn of the worker's loop.
func (r *rig) forward(from nexthop.Side, frames [][]byte) {
	w := r.ports[from]
	w.forwardBatch(frames, r.clock)
	if err := w.flush(); err != nil {
		r.t.Fatal(err)
	}
}

func framed(b []byte) []byte { return packettest.Ethernet(b, packettest.Link{VNet: true}) }

func partial(b []byte) []byte { return packettest.Ethernet(b, packettest.Link{NeedsCsum: true}) }

// TestKnownFlowsCostNoAllocation is the budget of the forward path: both
// directions, every protocol, checksums full and partial.
func TestKnownFlowsCostNoAllocation(t *testing.T) {
	r := newRig(t)
	c := r.open(client)
	public, ident := r.udp(client, server), r.ping("10.0.0.10", serverHost, 4)
	out := packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: c.clientSeq, Ack: c.serverSeq, Flags: packet.ACK, Payload: "x"})
	in := packettest.TCP(packettest.Segment{Src: server, Dst: c.public, Seq: c.serverSeq, Ack: c.clientSeq, Flags: packet.ACK, Payload: "x"})
	r.mute()
	for _, c := range []struct {
		name string
		from nexthop.Side
		b    *batch
	}{
		{"out", nexthop.Inside, newBatch(framed(out), framed(datagram(client, server)), framed(ping("10.0.0.10", serverHost, 4)))},
		{"in", nexthop.Outside, newBatch(framed(in), framed(datagram(server, public)), framed(pong(serverHost, "203.0.113.5", ident)))},
		{"out, partial", nexthop.Inside, newBatch(partial(out), partial(datagram(client, server)))},
		{"in, partial", nexthop.Outside, newBatch(partial(in), partial(datagram(server, public)))},
	} {
		before := r.counters.Verdicts[Forwarded]
		if n := testing.AllocsPerRun(100, func() { r.forward(c.from, c.b.restore()) }); n != 0 {
			t.Errorf("%s: %v allocations a batch", c.name, n)
		}
		if n := r.counters.Verdicts[Forwarded] - before; n != uint64(101*len(c.b.frames)) {
			t.Errorf("%s: %d packets were forwarded", c.name, n)
		}
	}
}

// TestRefusalsCostNoAllocation: nor does what a flood makes the gateway say.
func TestRefusalsCostNoAllocation(t *testing.T) {
	r := newRig(t)
	r.use(server)
	r.udp("10.0.0.10:1", server)
	p := r.dial(nexthop.Outside, 1, 2)
	if _, err := r.Kill(everything); err != nil {
		t.Fatal(err)
	}
	r.sent = [2][][]byte{}
	r.use(server)
	r.icmpLimit[0], r.icmpLimit[1], r.resetLimit = newLimit(1e9, 1e9), newLimit(1e9, 1e9), newLimit(1e9, 1e9)
	r.mute()
	long := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: string(make([]byte, 1473)), IP: packettest.IP{DF: true}})
	for want, c := range map[Verdict]struct {
		from nexthop.Side
		b    []byte
	}{
		Answered:        {nexthop.Outside, ping("192.0.2.66", "203.0.113.5", 1)},
		Reset:           {p.a.side, packettest.TCP(p.a.segment(packet.ACK, ""))},
		DropNoFlow:      {nexthop.Outside, datagram(stranger, publicUDP)},
		DropMartian:     {nexthop.Outside, datagram("203.0.113.6:1", publicUDP)},
		DropNotMember:   {nexthop.Inside, datagram("10.0.0.99:1", server)},
		DropExhausted:   {nexthop.Inside, syn(client, server)},
		DropTTL:         {nexthop.Inside, edited(datagram(client, server), func(b []byte) { b[8] = 1 })},
		DropTooBig:      {nexthop.Inside, long},
		DropBadChecksum: {nexthop.Outside, flip(datagram(stranger, publicUDP), 10)},
	} {
		b, before := newBatch(framed(c.b)), r.counters.Verdicts[want]
		if n := testing.AllocsPerRun(100, func() { r.forward(c.from, b.restore()) }); n != 0 {
			t.Errorf("%v: %v allocations", want, n)
		}
		if n := r.counters.Verdicts[want] - before; n != 101 {
			t.Errorf("%d of 101 packets were %v", n, want)
		}
	}
}

// TestNewFlowsCostFewAllocations: a TCP flow none; a UDP mapping is an entry in
// the member's map, which grows now and then.
func TestNewFlowsCostFewAllocations(t *testing.T) {
	for name, c := range map[string]struct {
		packet []byte
		most   float64 // allocations a flow, on average
	}{
		"TCP": {syn(client, server), 0},
		"UDP": {datagram(client, server), 0.2},
	} {
		r := newCrowd(t, 1<<15)
		r.mute()
		b, port := newBatch(framed(c.packet)), uint16(0)
		next := func() {
			frames := b.restore()
			for range batchSize {
				port++
				binary.BigEndian.PutUint16(b.fresh[0][srcPortAt:], port)
				r.forward(nexthop.Inside, frames)
				frames = b.restore()
			}
		}
		next() // the member's first flow makes room for all
		n := testing.AllocsPerRun(200, next) / batchSize
		t.Logf("%s: %.3f allocations a flow", name, n)
		if n > c.most {
			t.Errorf("%s: %.3f allocations a flow, the budget is %v", name, n, c.most)
		}
		if r.table.Len() < 200*batchSize {
			t.Errorf("%s: only %d flows were made", name, r.table.Len())
		}
	}
}
