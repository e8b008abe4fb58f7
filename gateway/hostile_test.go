package gateway

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// newTarget is a rig in which every port of the member is taken, so that whatever
// port a hostile packet names there is a flow: established ones, half-open ones
// and pings with the server, and one that came in.
func newTarget(t testing.TB) *rig {
	r := newRig(t, func(o *Options) {
		out := egress()
		out.Ports = nat.BlockSize
		o.MaxFlows, o.Policy = 64, newPolicy(t, out, ssh())
	})
	for n := range nat.BlockSize {
		p := &pair{r: r, a: &end{local: tcpPort(n), remote: server, next: 1000}, b: &end{side: nexthop.Outside, local: server, next: 2000}}
		p.handshake()
		r.pass(nexthop.Inside, datagram(tcpPort(n), server))
		r.pass(nexthop.Inside, ping("10.0.0.10", serverHost, uint16(n)))
		r.pass(nexthop.Inside, syn(tcpPort(n), "198.51.100.7:80"))
	}
	r.dial(nexthop.Outside, 1000, 2000)
	return r
}

type hostileSeed struct {
	from nexthop.Side
	b    []byte
}

// hostileSeeds are valid packets of the target's flows and of none.
func hostileSeeds() []hostileSeed {
	in, out := nexthop.Inside, nexthop.Outside
	toMember := packettest.Segment{Src: server, Dst: "203.0.113.5:1027", Seq: 2001, Ack: 1001, Flags: packet.ACK, Payload: "data"}
	return []hostileSeed{
		{in, packettest.TCP(packettest.Segment{Src: tcpPort(3), Dst: server, Seq: 1001, Ack: 2001, Flags: packet.ACK, Payload: "data"})},
		{in, packettest.TCP(packettest.Segment{Src: tcpPort(3), Dst: server, Seq: 1001, Ack: 2001, Flags: packet.FIN | packet.ACK, Options: []packettest.Option{packettest.Timestamps(1, 2)}})},
		{in, syn(client, secondServer)},
		{in, syn(client, frontendSSH)},
		{in, datagram(tcpPort(3), server)},
		{in, packettest.UDP(packettest.Datagram{Src: tcpPort(3), Dst: server, NoChecksum: true, IP: packettest.IP{Options: []packettest.Option{packettest.RouterAlert}}})},
		{in, datagram(client, secondServer)},
		{in, ping("10.0.0.10", serverHost, 3)},
		{in, ping("10.0.0.10", "203.0.113.5", 3)},
		{in, pong("10.0.0.10", serverHost, 0)},
		{in, packettest.TCP(packettest.Segment{Src: "10.0.0.10:22", Dst: stranger, Seq: 2001, Ack: 1001, Flags: packet.ACK, Payload: "data"})},
		{in, packettest.ICMPError(packettest.Error{Src: "10.0.0.10", Type: 3, Code: 3, Quote: datagram(server, tcpPort(3)), Dst: serverHost})},
		{in, packettest.Fragments(datagram(tcpPort(3), server), 28)[0]},
		{in, packettest.IPv4(packettest.Packet{Src: "10.0.0.10", Dst: serverHost, Proto: 47, Payload: "gre"})},
		{out, packettest.TCP(toMember)},
		{out, packettest.TCP(packettest.Segment{Src: server, Dst: "203.0.113.5:1027", Seq: 2001, Flags: packet.RST})},
		{out, packettest.TCP(packettest.Segment{Src: "198.51.100.7:80", Dst: "203.0.113.5:1027", Seq: 7, Ack: 1001, Flags: packet.SYN | packet.ACK, Options: wide})},
		{out, datagram(server, "203.0.113.5:1027")},
		{out, datagram(stranger, "203.0.113.5:1027")},
		{out, pong(serverHost, "203.0.113.5", 1027)},
		{out, ping("192.0.2.66", "203.0.113.5", 1)},
		{out, syn(stranger, frontendSSH)},
		{out, syn("192.0.2.66:80", frontendSSH)},
		{out, packettest.TCP(packettest.Segment{Src: stranger, Dst: frontendSSH, Seq: 1001, Ack: 2001, Flags: packet.ACK, Payload: "data"})},
		{out, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Code: 4, MTU: 68, Quote: datagram("203.0.113.5:1027", server)})},
		{out, packettest.Fragments(datagram(server, "203.0.113.5:1027"), 28)[1]},
	}
}

// wellBehaved wants of everything that went out that it was translated, or made
// by the gateway, and that its IP header is right. What is behind that header is
// what the sender made of it.
func (r *rig) wellBehaved(from nexthop.Side, input []byte) {
	r.t.Helper()
	for side := range r.sent {
		for _, f := range r.sent[side] {
			b := f[r.ports[side].layout.headroom:]
			if total := int(binary.BigEndian.Uint16(b[2:])); total != len(b) || !headerSumIsRight(b) {
				r.t.Fatalf("% x\nbecame % x, whose header is wrong", input, b)
			}
			src, dst := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
			if !r.mayLeave(nexthop.Side(side), packet.Addr(src), packet.Addr(dst), from, input) {
				r.t.Fatalf("% x\nfrom %v became, %v, %s", input, from, nexthop.Side(side), packettest.Describe(b))
			}
		}
		r.sent[side] = nil
	}
	if r.table.Len() > r.table.Cap() || len(r.waiting.frames) > maxWaiting {
		r.t.Fatalf("%d flows of %d, %d packets wait", r.table.Len(), r.table.Cap(), len(r.waiting.frames))
	}
}

func (r *rig) mayLeave(side nexthop.Side, src, dst packet.Addr, from nexthop.Side, input []byte) bool {
	if side == nexthop.Outside {
		return r.policy.IsFrontend(src)
	}
	if from == side { // an answer goes to the one who asked
		return bytes.Equal(input[12:16], binary.BigEndian.AppendUint32(nil, uint32(dst)))
	}
	return dst == memberAddr || dst == otherMember
}

func headerSumIsRight(b []byte) bool {
	c := slices.Clone(b[:int(b[0]&0xf)*4])
	packettest.Fix(c)
	return bytes.Equal(c[10:12], b[10:12])
}

// mutate returns a packet that is wrong in some way, with a frame around it.
func mutate(rnd *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	ihl := int(b[0]&0xf) * 4
	layer := func(lo, hi int) {
		for range 1 + rnd.IntN(3) {
			b[lo+rnd.IntN(hi-lo)] = byte(rnd.Uint32())
		}
	}
	fix := func() {
		if int(b[0]&0xf)*4 <= len(b) {
			packettest.Fix(b)
		}
	}
	switch rnd.IntN(9) {
	case 0:
		layer(0, len(b))
	case 1:
		layer(0, ihl)
		fix()
	case 2:
		layer(ihl, len(b))
		fix()
	case 3:
		b = b[:rnd.IntN(len(b)+1)]
	case 4:
		binary.BigEndian.PutUint16(b[2:], uint16(rnd.IntN(len(b)+3)))
		fix()
	case 5:
		b[0] = 0x40 | byte(rnd.IntN(16))
		fix()
	case 6: // one bit of an address or port
		at := 12 + rnd.IntN(12)
		b[min(at, len(b)-1)] ^= 1 << rnd.IntN(8)
		fix()
	case 7: // TCP flags and data offset, UDP length, ICMP type
		at := ihl + []int{0, 4, 5, 12, 13}[rnd.IntN(5)]
		b[min(at, len(b)-1)] = byte(rnd.Uint32())
		fix()
	case 8:
		b[8] = byte(rnd.IntN(3))
		fix()
	}
	return b
}

func TestHostilePackets(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 1))
	r := newTarget(t)
	normal := &pair{r: r, a: &end{local: "10.0.0.11:61234", remote: "198.18.99.200:8443"}, b: &end{side: nexthop.Outside, local: "198.18.99.200:8443"}}
	normal.handshake()
	seeds := hostileSeeds()
	for n := range 60_000 {
		seed := seeds[rnd.IntN(len(seeds))]
		if rnd.IntN(25) == 0 {
			seed.from = opposite(seed.from)
		}
		b := mutate(rnd, seed.b)
		frame := packettest.Ethernet(b, packettest.Link{VNet: true})
		switch rnd.IntN(20) {
		case 0:
			frame = append(frame, make([]byte, rnd.IntN(30))...) // link padding
		case 1:
			for range 3 {
				frame[rnd.IntN(packettest.VNetLen)] = byte(rnd.Uint32())
			}
		}
		r.sendFrame(seed.from, frame)
		r.wellBehaved(seed.from, b)
		if n%100 == 0 {
			normal.talk(20)
			r.sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			r.discardResets()
		}
	}
	normal.talk(20)
	normal.hangUp(normal.a)
	normal.hangUp(normal.b)
	for _, v := range []Verdict{Forwarded, Answered, DropTruncated, DropBadHeader, DropBadTransport, DropWrongSide, DropNoFlow, DropExhausted, DropTableFull, DropTTL} {
		if r.counters.Verdicts[v] < 50 {
			t.Errorf("only %d of these packets were %v: they are not hostile in that way", r.counters.Verdicts[v], v)
		}
	}
}

// discardResets forgets what the control goroutine has sent by itself.
func (r *rig) discardResets() {
	for side := range r.sent {
		for _, v := range r.take(nexthop.Side(side)) {
			if v.Flags&packet.RST == 0 {
				r.t.Fatalf("unasked for: %+v", v)
			}
		}
	}
}

// A queue may be wrong about what it hands over.
func TestRunts(t *testing.T) {
	whole := packettest.Ethernet(datagram(client, server), packettest.Link{VNet: true})
	for n := range headroom + 28 {
		r := newRig(t)
		if v := r.sendFrame(nexthop.Inside, slices.Clone(whole[:n])); v != DropTruncated {
			t.Errorf("a frame of %d bytes: verdict %v", n, v)
		}
		if in := r.counters.Traffic[nexthop.Inside]; in.BytesIn != uint64(max(0, n-headroom)) {
			t.Errorf("a frame of %d bytes is counted as %d", n, in.BytesIn)
		}
	}
}
