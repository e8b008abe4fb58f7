package gateway

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// orders are in which the pieces of a datagram may come.
var orders = map[string]func(all [][]byte) [][]byte{
	"in order":    func(all [][]byte) [][]byte { return all },
	"reversed":    func(all [][]byte) [][]byte { slices.Reverse(all); return all },
	"first last":  func(all [][]byte) [][]byte { return append(slices.Clone(all[1:]), all[0]) },
	"last first":  func(all [][]byte) [][]byte { return append([][]byte{all[len(all)-1]}, all[:len(all)-1]...) },
	"shuffled":    shuffled(1),
	"shuffled, 2": shuffled(2),
	"shuffled, 3": shuffled(3),
	"each twice":  func(all [][]byte) [][]byte { return twice(all) },
	"reversed, each twice": func(all [][]byte) [][]byte {
		slices.Reverse(all)
		return twice(all)
	},
}

func shuffled(seed uint64) func(all [][]byte) [][]byte {
	return func(all [][]byte) [][]byte {
		rnd := rand.New(rand.NewPCG(seed, 0))
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all
	}
}

func twice(all [][]byte) (doubled [][]byte) {
	for _, b := range all {
		doubled = append(doubled, b, b)
	}
	return doubled
}

// grown is the packet b with a payload that takes five fragments, and another ID.
func grown(t testing.TB, b []byte, id uint16) []byte {
	t.Helper()
	v, ip, payload := packettest.Fields(t, b), packettest.IP{ID: id}, strings.Repeat("five pieces ", 109)
	switch v.Proto {
	case packet.TCP:
		return packettest.TCP(packettest.Segment{Src: v.Src, Dst: v.Dst, Seq: v.Seq + 1, Ack: 10, Flags: packet.ACK, Payload: payload, IP: ip})
	case packet.UDP:
		return packettest.UDP(packettest.Datagram{Src: v.Src, Dst: v.Dst, NoChecksum: v.NoChecksum, Payload: payload, IP: ip})
	}
	echo := packettest.Echo{Src: v.Src, Dst: v.Dst, Ident: v.Ident, Seq: 5, Payload: payload, IP: ip}
	if v.Type == 8 {
		return packettest.EchoRequest(echo)
	}
	return packettest.EchoReply(echo)
}

const pieceMTU = 300

// inPieces sends the packet b in pieces, in that order, wants each to pass or wait
// but for copies, and returns what the pieces that came out make.
func (r *rig) inPieces(from nexthop.Side, b []byte, order func([][]byte) [][]byte) (whole []byte, to nexthop.Side) {
	r.t.Helper()
	var out [][]byte
	seen := map[string]bool{}
	for _, piece := range order(packettest.Fragments(b, pieceMTU)) {
		v := r.send(from, piece)
		if v != Forwarded && v != Waiting && (v != DropFragment || !seen[string(piece)]) {
			r.t.Fatalf("%s: verdict %v", packettest.Describe(piece), v)
		}
		seen[string(piece)] = true
		for _, side := range bothSides {
			for _, b := range r.takeRaw(side) {
				if !slices.ContainsFunc(out, func(a []byte) bool { return bytes.Equal(a, b) }) {
					out, to = append(out, bytes.Clone(b)), side
				}
			}
		}
	}
	whole, err := packettest.Reassemble(out)
	if err != nil {
		r.t.Fatal(err)
	}
	packettest.Check(r.t, whole)
	return whole, to
}

// TestFragments: the pieces of a packet make what the packet whole becomes, in
// whatever order they come, in both directions of flows of every kind; the first
// fragment of a new one makes it.
func TestFragments(t *testing.T) {
	for _, tunnel := range []bool{false, true} {
		for _, s := range subjects {
			for name, order := range orders {
				t.Run(map[bool]string{true: "tunnel/"}[tunnel]+s.name+"/"+name, func(t *testing.T) {
					r := newSubjectRig(t, tunnel)
					first, back := s.b, []byte(nil)
					if packettest.Fields(t, s.b).Proto == packet.TCP {
						seen, to := r.through(s.from, s.b)
						back = reply(t, seen)
						r.through(to, back)
					}
					there, to := r.inPieces(s.from, grown(t, first, 1), order)
					r.same(s.from, grown(t, first, 1), there)
					if back == nil {
						back = reply(t, there)
					}
					home, _ := r.inPieces(to, grown(t, back, 2), order)
					r.same(to, grown(t, back, 2), home)
					if n := r.table.Len(); n != 1 {
						t.Errorf("%d flows", n)
					}
					r.fragments.Expire(r.clock + int64(time.Minute))
					if r.fragments.Len() != 0 || r.fragments.Held() != 0 {
						t.Errorf("%d datagrams and %d bytes are left", r.fragments.Len(), r.fragments.Held())
					}
				})
			}
		}
	}
}

// same wants the packet whole to become the same as its pieces.
func (r *rig) same(from nexthop.Side, b, made []byte) {
	r.t.Helper()
	if want, _ := r.through(from, b); !bytes.Equal(made, want) {
		r.t.Errorf("the pieces make %s, the packet whole %s", packettest.Describe(made), packettest.Describe(want))
	}
}

// TestFragmentsLeaveNothing: a datagram that is whole is forgotten at once.
func TestFragmentsLeaveNothing(t *testing.T) {
	for _, name := range []string{"in order", "reversed", "first last", "shuffled"} {
		r := newRig(t)
		r.inPieces(nexthop.Inside, grown(t, datagram(client, server), 1), orders[name])
		if r.fragments.Len() != 0 || r.fragments.Held() != 0 {
			t.Errorf("%s: %d datagrams and %d bytes are left", name, r.fragments.Len(), r.fragments.Held())
		}
	}
}

// TestFragmentsOfARefusedDatagram: nothing of it leaves, before or after its first,
// and every one is counted.
func TestFragmentsOfARefusedDatagram(t *testing.T) {
	for _, c := range []struct {
		want Verdict
		from nexthop.Side
		b    []byte
		back int
	}{
		{DropNotMember, nexthop.Inside, datagram("10.0.0.99:1", server), 0},
		{DropNoFlow, nexthop.Outside, datagram(stranger, publicUDP), 0},
		{DropExhausted, nexthop.Inside, datagram(client, server), 1},
		{DropWrongSide, nexthop.Inside, nil, 0},
		{Reset, nexthop.Inside, syn(client, server), 1},
		{DropICMPError, nexthop.Outside, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: datagram(publicUDP, server)}), 0},
	} {
		r := newRig(t)
		r.fill("10.0.0.10", memberPorts)
		b, want := c.b, c.want
		switch c.want {
		case DropWrongSide: // a server's answer from where it is not
			b = grown(t, datagram(server, r.external("10.0.0.10:1000")), 1)
		case DropICMPError:
			b, want = packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: grown(t, datagram(publicUDP, server), 1)}), DropFragment
		default:
			b = grown(t, b, 1)
		}
		all := packettest.Fragments(b, pieceMTU)
		r.expect(Waiting, c.from, all[3])
		r.expect(Waiting, c.from, all[1])
		r.expect(want, c.from, all[0])
		if n := len(r.take(c.from)); n != c.back {
			t.Errorf("%v: %d packets came back", c.want, n)
		}
		for _, i := range []int{2, 4, 1} {
			r.expect(DropFragment, c.from, all[i])
		}
		before := r.Snapshot().Counters.Verdicts[DropFragment]
		r.sleep(100 * time.Millisecond)
		if n := r.Snapshot().Counters.Verdicts[DropFragment] - before; n != 2 {
			t.Errorf("%v: %d of 2 that waited are counted", c.want, n)
		}
		r.silent()
		r.sleep(30 * time.Second)
		if r.fragments.Len() != 0 {
			t.Errorf("%v: %d datagrams are left", c.want, r.fragments.Len())
		}
	}
}

// TestFragmentsToElsewhere: those from outside that are to no frontend don't wait.
func TestFragmentsToElsewhere(t *testing.T) {
	r := newRig(t)
	for _, piece := range orders["reversed"](packettest.Fragments(grown(t, datagram(stranger, client), 1), pieceMTU)) {
		r.expect(DropNotOurs, nexthop.Outside, piece)
	}
	r.silent()
}

// TestFragmentsThatNeverEnd are forgotten, and those that waited counted.
func TestFragmentsThatNeverEnd(t *testing.T) {
	r := newRig(t)
	for id := range uint16(100) {
		r.expect(Waiting, nexthop.Inside, packettest.Fragments(grown(t, datagram(client, server), id), pieceMTU)[2])
	}
	r.sleep(450 * time.Millisecond)
	if r.fragments.Len() != 100 {
		t.Errorf("%d datagrams are followed", r.fragments.Len())
	}
	r.sleep(100 * time.Millisecond)
	if n := r.Snapshot().Counters.Verdicts[DropFragment]; r.fragments.Len() != 0 || r.fragments.Held() != 0 || n != 100 {
		t.Errorf("%d datagrams and %d bytes are left, %d are counted", r.fragments.Len(), r.fragments.Held(), n)
	}
	r.silent()
	r.gone()
}

// TestFragmentsOverlap: what does not fit spoils its datagram, and only that.
func TestFragmentsOverlap(t *testing.T) {
	r := newRig(t)
	one, other := grown(t, datagram(client, server), 1), grown(t, datagram(client, server), 2)
	all := packettest.Fragments(one, pieceMTU)
	r.pass(nexthop.Inside, all[0])
	r.expect(DropFragment, nexthop.Inside, packettest.Fragments(one, pieceMTU-8)[1])
	r.expect(DropFragment, nexthop.Inside, all[1])
	r.expect(DropFragment, nexthop.Inside, all[4])
	r.silent()
	r.inPieces(nexthop.Inside, other, orders["shuffled"])
}

// TestFragmentsOutliveTheirFlow: not beyond its end.
func TestFragmentsOutliveTheirFlow(t *testing.T) {
	r := newRig(t)
	all := packettest.Fragments(grown(t, datagram(client, server), 1), pieceMTU)
	r.pass(nexthop.Inside, all[0])
	if _, err := r.Kill(func(*conntrack.Flow) bool { return true }); err != nil {
		t.Fatal(err)
	}
	r.expect(DropNoFlow, nexthop.Inside, all[1])
	r.silent()
}

// TestFragmentsWait for the neighbour, and leave in the order they came.
func TestFragmentsWait(t *testing.T) {
	r := newRig(t)
	dst := packettest.Addr(serverHost)
	r.hops.status[dst] = nexthop.Unresolved
	b := grown(t, datagram(client, server), 1)
	for _, piece := range packettest.Fragments(b, pieceMTU) {
		r.expect(Waiting, nexthop.Inside, piece)
	}
	delete(r.hops.status, dst)
	r.sleep(50 * time.Millisecond)
	got := r.takeRaw(nexthop.Outside)
	for i, f := range got[1:] {
		if packettest.Fields(t, f).Offset <= packettest.Fields(t, got[i]).Offset {
			t.Error("they left in another order")
		}
	}
	whole, err := packettest.Reassemble(got)
	if err != nil {
		t.Fatal(err)
	}
	r.same(nexthop.Inside, b, whole)
}

// TestNoErrorAboutALaterFragment (RFC 1812 §4.3.2.7).
func TestNoErrorAboutALaterFragment(t *testing.T) {
	r := newRig(t)
	all := packettest.Fragments(grown(t, datagram(client, server), 1), pieceMTU)
	r.pass(nexthop.Inside, all[0])
	r.expect(DropTTL, nexthop.Inside, edited(all[1], func(b []byte) { b[8] = 1 }))
	r.hops.hop[nexthop.Outside].MTU = 200
	r.expect(DropTooBig, nexthop.Inside, edited(all[2], func(b []byte) { b[6] |= 0x40 }))
	r.hops.status[packettest.Addr(serverHost)] = nexthop.Unreachable
	r.expect(DropUnreachable, nexthop.Inside, all[3])
	r.silent()
}

// TestPingFrontendInPieces: the answer comes in pieces too, in the same order.
func TestPingFrontendInPieces(t *testing.T) {
	for name, order := range orders {
		r := newRig(t)
		b := grown(t, ping("192.0.2.66", "203.0.113.5", 9), 1)
		var out [][]byte
		for _, piece := range order(packettest.Fragments(b, pieceMTU)) {
			r.send(nexthop.Outside, piece)
			out = append(out, r.takeRaw(nexthop.Outside)...)
		}
		slices.SortFunc(out, bytes.Compare)
		whole, err := packettest.Reassemble(slices.CompactFunc(out, bytes.Equal))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := grown(t, pong("203.0.113.5", "192.0.2.66", 9), 1); !bytes.Equal(whole, want) {
			t.Errorf("%s: the answer is %s", name, packettest.Describe(whole))
		}
		r.silent()
		r.gone()
	}
}
