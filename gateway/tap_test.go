package gateway

import (
	"bytes"
	"context"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// tap looks on until the test ends.
func (r *rig) tap(o TapOptions) *Tap {
	r.t.Helper()
	if o.Snaplen == 0 {
		o.Snaplen = maxPacket
	}
	t, err := r.Tap(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(t.Close)
	return t
}

// seen returns what a tap has seen since it was last asked.
func (r *rig) seen(t *Tap) (all []Sighting) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel() // what is there is there
	for {
		batch, err := t.Next(ctx)
		if err != nil {
			return all
		}
		for _, s := range batch {
			s.Packet = bytes.Clone(s.Packet)
			all = append(all, s)
		}
	}
}

// watched sends a packet, and wants it and what is written for it to be seen. It
// returns what was written, and the flow that all of it is of.
func (r *rig) watched(t *Tap, from nexthop.Side, ip, frame []byte) (Verdict, [][]byte, []Sighting) {
	r.t.Helper()
	v := r.sendFrame(from, frame)
	seen := r.seen(t)
	if len(seen) == 0 {
		r.t.Fatalf("%s: nothing was seen", packettest.Describe(ip))
	}
	came, left := seen[0], seen[1:]
	if came.After || came.Own || came.Verdict != v || came.Side != from || came.Length != len(ip) || !bytes.Equal(came.Packet, ip) || came.At != r.clock {
		r.t.Fatalf("%s: came as %+v", packettest.Describe(ip), came)
	}
	var written [][]byte
	for _, side := range bothSides {
		for _, b := range r.takeRaw(side) {
			i := len(written)
			if i >= len(left) || !left[i].After || left[i].Side != side || !bytes.Equal(left[i].Packet, b) || left[i].Known != came.Known {
				r.t.Fatalf("%s: %s left the %v, and was seen as %+v", packettest.Describe(ip), packettest.Describe(b), side, left)
			}
			written = append(written, b)
		}
	}
	if len(left) != len(written) {
		r.t.Fatalf("%s: %d packets left, %d were seen", packettest.Describe(ip), len(written), len(left))
	}
	return v, written, seen
}

func (r *rig) frame(ip []byte, partial bool) []byte {
	switch {
	case r.ports[0].layout.headroom == 0:
		return bytes.Clone(ip)
	case partial:
		return packettest.Ethernet(ip, packettest.Link{NeedsCsum: true})
	}
	return framed(ip)
}

// TestTapShowsBothEnds: every kind of flow is seen as it comes and as it leaves, with
// the checksums of the wire, and so are answers and errors, each under the flow's name.
func TestTapShowsBothEnds(t *testing.T) {
	for _, tunnel := range []bool{false, true} {
		for _, s := range subjects {
			for _, partial := range []bool{false, true} {
				r := newSubjectRig(t, tunnel)
				tap := r.tap(TapOptions{})
				v := packettest.Fields(t, s.b)
				partial := partial && v.Proto != packet.ICMP && !v.NoChecksum
				first, to := r.translated(tap, s.from, s.b, partial)
				r.translated(tap, to, reply(t, first), partial)
				about := packettest.Error{Src: hostOf(packettest.Fields(t, first).Dst), Dst: hostOf(packettest.Fields(t, first).Src), Type: 3, Code: 3, Quote: first}
				r.translated(tap, to, packettest.ICMPError(about), false)
			}
		}
	}
}

// translated sends a packet of the only flow, and returns it as it leaves.
func (r *rig) translated(t *Tap, from nexthop.Side, ip []byte, partial bool) (out []byte, to nexthop.Side) {
	r.t.Helper()
	_, written, seen := r.watched(t, from, ip, r.frame(ip, partial))
	if len(written) != 1 || seen[1].Own || seen[1].Verdict != Forwarded {
		r.t.Fatalf("%s: seen %+v", packettest.Describe(ip), seen)
	}
	flows := r.flows()
	for _, s := range seen {
		if len(flows) != 1 || !s.Known || s.Flow.ID != flows[0].ID || s.Flow.Packets != flows[0].Packets || s.Flow.State != flows[0].State {
			r.t.Errorf("%s: of flow %+v", packettest.Describe(ip), s.Flow)
		}
	}
	return written[0], seen[1].Side
}

// TestTapShowsPortless: what is translated without a flow.
func TestTapShowsPortless(t *testing.T) {
	for _, b := range portless(pipBackend, serverHost) {
		r := newSubjectRig(t, false)
		_, written, seen := r.watched(r.tap(TapOptions{}), nexthop.Inside, b, framed(b))
		if len(written) != 1 || seen[0].Known || seen[1].Own {
			t.Errorf("%s: seen %+v", packettest.Describe(b), seen)
		}
	}
}

// TestTapShowsPieces: of a datagram in pieces each is seen twice, those that waited for
// the first one when they are sent; and what the gateway cuts up is seen in pieces.
func TestTapShowsPieces(t *testing.T) {
	for name, order := range orders {
		r := newRig(t)
		r.udp(client, server)
		tap, in, out := r.tap(TapOptions{}), 0, 0
		for _, piece := range order(packettest.Fragments(grown(t, datagram(client, server), 9), pieceMTU)) {
			_, written, seen := r.watched(tap, nexthop.Inside, piece, framed(piece))
			in, out = in+1, out+len(written)
			for _, s := range seen[1:] {
				if !s.Known || s.Own || s.Flow.Rule != ruleEgress {
					t.Errorf("%s: a piece left as %+v", name, s)
				}
			}
		}
		if in < 5 || out < 5 {
			t.Errorf("%s: %d pieces came, %d left", name, in, out)
		}
	}
	r := newRig(t)
	r.hops.hop[nexthop.Outside].MTU = 500
	b := grown(t, datagram(client, server), 9)
	if _, written, _ := r.watched(r.tap(TapOptions{}), nexthop.Inside, b, framed(b)); len(written) != 3 {
		t.Errorf("%d pieces left", len(written))
	}
}

// TestTapShowsRefusals: a packet that goes nowhere is seen with the reason, and so is
// what its sender is told.
func TestTapShowsRefusals(t *testing.T) {
	for want, c := range map[Verdict]struct {
		from nexthop.Side
		b    []byte
		told int
	}{
		DropTruncated:   {nexthop.Inside, datagram(client, server)[:12], 0},
		DropNotMember:   {nexthop.Inside, datagram("10.0.0.99:1", server), 0},
		DropNotOurs:     {nexthop.Outside, datagram(stranger, "203.0.113.99:1"), 0},
		DropBadChecksum: {nexthop.Outside, flip(datagram(stranger, publicUDP), 10), 0},
		DropTTL:         {nexthop.Inside, edited(datagram(client, server), func(b []byte) { b[8] = 1 }), 1},
		Answered:        {nexthop.Outside, ping(hostOf(stranger), "203.0.113.5", 1), 1},
		Reset:           {nexthop.Outside, packettest.TCP(packettest.Segment{Src: stranger, Dst: "203.0.113.5:2222", Seq: 1, Ack: 1, Flags: packet.ACK}), 1},
	} {
		r := newRig(t)
		v, written, seen := r.watched(r.tap(TapOptions{}), c.from, c.b, framed(c.b))
		if v != want || len(written) != c.told || seen[0].Known {
			t.Errorf("%v: verdict %v, %d packets told, seen %+v", want, v, len(written), seen)
		}
		for _, s := range seen[1:] {
			if !s.Own || s.Cause != want.String() || s.Verdict != want {
				t.Errorf("%v: told %+v", want, s)
			}
		}
	}
}

// TestTapShowsBatches: each packet of a batch with what is written for it, and without
// what its link has added behind it.
func TestTapShowsBatches(t *testing.T) {
	r := newRig(t)
	tap, b, refused := r.tap(TapOptions{}), datagram(client, server), datagram("10.0.0.99:1", server)
	frames := [][]byte{append(framed(b), make([]byte, 18)...), framed(refused), framed(b)}
	r.forward(nexthop.Inside, frames)
	seen := r.seen(tap)
	sent := r.takeRaw(nexthop.Outside)
	if len(seen) != 5 || len(sent) != 2 {
		t.Fatalf("%d sent, seen %+v", len(sent), seen)
	}
	for i, want := range [][]byte{b, sent[0], refused, b, sent[1]} {
		s := &seen[i]
		if !bytes.Equal(s.Packet, want) || s.Length != len(want) || s.Known != (i != 2) || s.After != (i == 1 || i == 4) {
			t.Errorf("sighting %d is %+v, want %x", i, s, want)
		}
	}
}

// TestTapShowsResets: those of the control goroutine, and what answers those who come late.
func TestTapShowsResets(t *testing.T) {
	for cause, end := range map[string]func(*rig){
		"idle": func(r *rig) { r.sleep(testIdle + testIdle/50 + time.Second) },
		"killed": func(r *rig) {
			if n, err := r.Kill(everything); n != 1 || err != nil {
				r.t.Fatal(n, err)
			}
		},
	} {
		r := newRig(t)
		c := r.open(client)
		id := r.flows()[0].ID
		tap := r.tap(TapOptions{})
		end(r)
		r.wantOwn(tap, cause, id, 2)
		late := packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: c.clientSeq, Ack: c.serverSeq, Flags: packet.ACK, Payload: "late"})
		_, written, seen := r.watched(tap, nexthop.Inside, late, framed(late))
		if len(written) != 1 || !seen[1].Own || seen[1].Cause != "reset" || !seen[1].Known || seen[1].Flow.ID != id {
			t.Errorf("%s: who comes late sees %+v", cause, seen)
		}
	}
}

// TestTapTellsResetsApart: each is of the flow that it ends.
func TestTapTellsResetsApart(t *testing.T) {
	r := newRig(t)
	tap, ids := r.tap(TapOptions{}), map[string]conntrack.ID{}
	for _, client := range []string{client, otherClient} {
		r.open(client)
		ids[client] = r.flows()[len(ids)].ID
	}
	r.seen(tap)
	for client, id := range ids {
		if n, err := r.Kill(func(f *conntrack.Flow) bool { return f.ID == id }); n != 1 || err != nil {
			t.Fatal(client, n, err)
		}
		r.wantOwn(tap, "killed", id, 2)
	}
}

// wantOwn wants that so many packets of the gateway's own have been written, for that
// cause, and that all were seen.
func (r *rig) wantOwn(t *Tap, cause string, of conntrack.ID, n int) {
	r.t.Helper()
	seen := r.seen(t)
	for _, side := range bothSides {
		for _, b := range r.takeRaw(side) {
			if len(seen) == 0 {
				r.t.Fatalf("%s: %s was not seen", cause, packettest.Describe(b))
			}
			s := seen[0]
			if !s.After || !s.Own || s.Cause != cause || s.Side != side || !s.Known || s.Flow.ID != of || !bytes.Equal(s.Packet, b) {
				r.t.Errorf("%s: %s was seen as %+v", cause, packettest.Describe(b), s)
			}
			seen, n = seen[1:], n-1
		}
	}
	if n != 0 || len(seen) != 0 {
		r.t.Errorf("%s: %d too few, and seen besides: %+v", cause, n, seen)
	}
}

func TestTapShowsQuestions(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Rules[ruleEgress].Ask = true })
	r.open(client)
	id, tap := r.flows()[0].ID, r.tap(TapOptions{})
	for r.sleep(testIdle); len(r.sent[nexthop.Inside]) == 0; {
		r.sleep(50 * time.Millisecond)
	}
	r.wantOwn(tap, "keepalive", id, 2)
}

// TestTapShowsWhatWaits when it is sent, as it is then.
func TestTapShowsWhatWaits(t *testing.T) {
	r := newRig(t)
	r.hops.status[serverAddr] = nexthop.Unresolved
	tap, b := r.tap(TapOptions{}), syn(client, server)
	if v, _, seen := r.watched(tap, nexthop.Inside, b, partial(b)); v != Waiting || !seen[0].Known {
		t.Fatalf("verdict %v, seen %+v", v, seen)
	}
	r.sleep(time.Second)
	r.hops.status[serverAddr] = nexthop.Resolved
	r.sleep(50 * time.Millisecond)
	seen, sent := r.seen(tap), r.takeRaw(nexthop.Outside)
	if len(seen) != 1 || len(sent) != 1 || !bytes.Equal(seen[0].Packet, sent[0]) {
		t.Fatalf("sent %x, seen %+v", sent, seen)
	}
	if s := seen[0]; !s.After || s.Own || s.Side != nexthop.Outside || !s.Known || s.Flow.ID != r.flows()[0].ID || s.At != r.clock {
		t.Errorf("seen %+v", s)
	}
}
