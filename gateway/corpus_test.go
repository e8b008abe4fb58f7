package gateway

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// corpus is valid traffic of flows of every kind on the site: whole, in pieces, and
// what routers and hosts have to complain about it; and what no flow can come of.
func corpus(r *rig) (all []hostileSeed) {
	r.t.Helper()
	add := func(from nexthop.Side, b []byte) {
		df := edited(grown(r.t, b, 9), func(b []byte) { b[6] = 0x40 })
		all = append(all, hostileSeed{from, b}, hostileSeed{from, df})
		for _, piece := range packettest.Fragments(grown(r.t, b, 9), pieceMTU) {
			all = append(all, hostileSeed{from, piece})
		}
	}
	for _, s := range subjects {
		seen, to := r.through(s.from, s.b)
		back := reply(r.t, seen)
		again, home := r.through(to, back)
		add(s.from, s.b)
		add(to, back)
		for _, e := range []struct {
			from  nexthop.Side
			quote []byte
		}{{to, seen}, {home, again}} {
			for _, typ := range []uint8{3, 11} {
				all = append(all, hostileSeed{e.from, packettest.ICMPError(packettest.Error{Src: "10.9.9.9", Type: typ, Code: 4, MTU: 68, Quote: e.quote})})
			}
		}
	}
	for side, way := range [2][2]string{{pipBackend, serverHost}, {serverHost, pipAddr}} {
		for _, b := range portless(way[0], way[1]) {
			all = append(all, hostileSeed{nexthop.Side(side), b})
		}
	}
	all = append(all, hostileSeeds()...)
	opts := packettest.IP{Options: []packettest.Option{{131, 7, 4, 10, 0, 0, 10}}}
	return append(all, hostileSeed{nexthop.Outside, packettest.UDP(packettest.Datagram{Src: stranger, Dst: dnsFrontend, IP: opts})},
		hostileSeed{nexthop.Inside, packettest.TCP(packettest.Segment{Src: insideClient, Dst: innerFrontend, Flags: packet.SYN, Options: wide, IP: opts})})
}

// strike hands a packet over and looks at all that leaves.
func (r *rig) strike(from nexthop.Side, b []byte) {
	r.t.Helper()
	sound, held := packettest.Verify(b) == nil, r.fragments.Held()
	w, frame := r.ports[from], bytes.Clone(b)
	if w.layout.headroom > 0 {
		frame = framed(b)
	}
	w.forwardBatch([][]byte{frame}, r.clock)
	if err := w.flush(); err != nil {
		r.t.Fatal(err)
	}
	sound = sound && r.fragments.Held() >= held // what had waited, others have sent
	for _, side := range bothSides {
		for _, out := range r.takeRaw(side) {
			r.innocent(side, from, b, out, sound)
		}
	}
	if r.table.Len() > r.table.Cap() || len(r.waiting.frames) > maxWaiting || r.waiting.bytes > maxWaitingBytes || r.fragments.Len() > 1<<15 || r.fragments.Held() > 4<<20 {
		r.t.Fatalf("%d flows, %d packets wait, %d datagrams are followed, %d bytes held", r.table.Len(), len(r.waiting.frames), r.fragments.Len(), r.fragments.Held())
	}
}

// innocent wants that what left outside bears no inside address, in what it quotes
// neither, and is as sound as what came.
func (r *rig) innocent(side, from nexthop.Side, in, out []byte, sound bool) {
	r.t.Helper()
	if err := packettest.Verify(out); sound && err != nil || !headerSumIsRight(out) || int(binary.BigEndian.Uint16(out[2:])) != len(out) {
		r.t.Fatalf("% x\nfrom %v became, %v, % x: %v", in, from, side, out, err)
	}
	src := packet.Addr(binary.BigEndian.Uint32(out[12:]))
	leaks := side == nexthop.Outside && (!r.policy.IsFrontend(src) || r.policy.IsInternal(src))
	if l4 := out[int(out[0]&0xf)*4:]; side == nexthop.Outside && from == nexthop.Inside && out[9] == 1 && len(l4) >= 28 && (l4[0] == 3 || l4[0] == 11) && !bytes.Equal(l4[24:28], out[12:16]) {
		quoted := packet.Addr(binary.BigEndian.Uint32(l4[24:]))
		leaks = leaks || !r.policy.IsFrontend(quoted)
	}
	if leaks {
		r.t.Fatalf("% x\nfrom %v left as %s: % x", in, from, packettest.Describe(out), out)
	}
}

// TestCorpus mutates valid packets at every layer and sends them from both sides
// through a gateway with rules of every kind, while somebody talks.
func TestCorpus(t *testing.T) {
	r := newSite(t, oneBackend, func(s *siteOptions) { s.MaxFlows = 300 })
	r.endure(t, 60_000)
	r.enough(t)
}

// TestTunnelCorpus is the same where both sides come by one interface.
func TestTunnelCorpus(t *testing.T) {
	r := newTunnelRig(t, ssh(), func(o *Options) {
		o.MaxFlows = 300
		siteChange(t, o, []func(*siteOptions){oneBackend})
	})
	r.health(true, "10.0.0.10")
	r.endure(t, 30_000)
}

// endure is hostile traffic, beside which a connection goes on, and after which
// nothing is left.
func (r *rig) endure(t *testing.T, packets int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(11, 3))
	seeds := corpus(r)
	normal := &pair{r: r, a: &end{local: "10.0.0.11:61234", remote: "198.18.99.200:8443"}, b: &end{side: nexthop.Outside, local: "198.18.99.200:8443"}}
	normal.handshake()
	away := packettest.Addr("10.0.0.20")
	for n := range packets {
		s := seeds[rnd.IntN(len(seeds))]
		if rnd.IntN(25) == 0 {
			s.from = opposite(s.from)
		}
		b := renumbered(s.b, uint16(n/500))
		if rnd.IntN(4) != 0 {
			b = mutate(rnd, b)
		}
		r.strike(s.from, b)
		if n%200 != 0 {
			continue
		}
		r.hops.status[away] = []nexthop.Status{nexthop.Resolved, nexthop.Unresolved}[n/200%2]
		r.hops.hop[nexthop.Inside].MTU, r.hops.hop[nexthop.Outside].MTU = 1500-n/200%2*1300, 1500-n/400%2*1300
		normal.talk(20)
		r.hops.hop[nexthop.Inside].MTU, r.hops.hop[nexthop.Outside].MTU = 1500-n/400%2*1400, 1500-n/600%2*1400
		r.sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
		r.sent = [2][][]byte{}
	}
	delete(r.hops.status, away)
	r.hops.hop[nexthop.Inside].MTU, r.hops.hop[nexthop.Outside].MTU = 1500, 1500
	normal.talk(20)
	normal.sayInPieces(normal.a, packet.ACK, orders["shuffled"])
	normal.received(t, normal.a)
	normal.hangUp(normal.a)
	r.sleep(testIdle + time.Minute)
	if r.fragments.Len() != 0 || r.fragments.Held() != 0 || len(r.waiting.frames) != 0 {
		t.Errorf("%d datagrams, %d bytes and %d packets are left", r.fragments.Len(), r.fragments.Held(), len(r.waiting.frames))
	}
	r.gone()
}

// renumbered is b with another identification, lest one bad datagram spoil all others.
func renumbered(b []byte, id uint16) []byte {
	b = bytes.Clone(b)
	b[5], b[4] = byte(id), byte(id>>8)
	packettest.Fix(b[:int(b[0]&0xf)*4])
	return b
}

// enough wants the corpus to be hostile in every way.
func (r *rig) enough(t *testing.T) {
	for _, v := range []Verdict{
		Forwarded, Answered, Waiting, LeftToHost, DropTruncated, DropNotIPv4, DropBadHeader, DropBadChecksum, DropBadTransport,
		DropSourceRoute, DropMartian, DropWrongSide, DropNotMember, DropProtocol, DropFragment, DropICMPError, DropNotOurs, DropNoFlow,
		DropTTL, DropTooBig,
	} {
		if n := r.counters.Verdicts[v]; n < 20 {
			t.Errorf("only %d of these packets were %v", n, v)
		}
	}
}
