package gateway

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// left is what was written to a side, as IP packets; each a frame without offload.
func (r *rig) left(side nexthop.Side, mtu int) (all [][]byte) {
	r.t.Helper()
	for _, f := range r.sent[side] {
		h := r.ports[side].layout.headroom
		if h > 0 && !bytes.Equal(f[:10], make([]byte, 10)) {
			r.t.Errorf("the offload header of a piece is % x", f[:10])
		}
		if h > 0 && !bytes.Equal(f[10:h], r.hops.hop[side].Ether[:]) {
			r.t.Errorf("a piece goes to % x", f[10:h])
		}
		if len(f)-h > mtu {
			r.t.Errorf("%d bytes went out, the link takes %d", len(f)-h, mtu)
		}
		packettest.Check(r.t, f[h:])
		all = append(all, f[h:])
	}
	r.sent[side] = nil
	return all
}

// TestSplit: a packet that may be fragmented is, and its pieces make what it would
// have been on a wider link.
func TestSplit(t *testing.T) {
	payload := strings.Repeat("tide", 600)
	for name, b := range map[string][]byte{
		"UDP":         packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: payload}),
		"UDP, no sum": packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: payload, NoChecksum: true}),
		"options":     packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: payload, IP: packettest.IP{Options: []packettest.Option{packettest.RouterAlert, {7, 3, 4}}}}),
		"TCP":         packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.SYN, Payload: payload}),
		"echo":        packettest.EchoRequest(packettest.Echo{Src: "10.0.0.10", Dst: serverHost, Ident: 5, Payload: payload}),
	} {
		for _, mtu := range []int{1500, 1300, 576, 68} {
			r := newRig(t)
			r.hops.hop[nexthop.Outside].MTU = 9000
			want, _ := r.through(nexthop.Inside, b)
			r.hops.hop[nexthop.Outside].MTU = mtu
			r.expect(Forwarded, nexthop.Inside, b)
			got, err := packettest.Reassemble(r.left(nexthop.Outside, mtu))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s at %d: %v: %s, want %s", name, mtu, err, packettest.Describe(got), packettest.Describe(want))
			}
			r.silent()
		}
	}
}

// TestSplitPartial: the checksum that a device was to complete is complete.
func TestSplitPartial(t *testing.T) {
	for _, b := range [][]byte{
		packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("tide", 600)}),
		packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.SYN, Payload: strings.Repeat("odd", 601), Options: wide}),
	} {
		r := newRig(t)
		r.hops.hop[nexthop.Outside].MTU = 9000
		want, _ := r.through(nexthop.Inside, b)
		r.hops.hop[nexthop.Outside].MTU = 9000
		r.hops.hop[nexthop.Inside].MTU = 9000
		for _, mtu := range []int{1400, 600} {
			r.hops.hop[nexthop.Outside].MTU = mtu
			if v := r.sendFrame(nexthop.Inside, partial(b)); v != Forwarded {
				t.Fatal(v)
			}
			got, err := packettest.Reassemble(r.left(nexthop.Outside, mtu))
			if err != nil {
				t.Fatal(err)
			}
			packettest.Check(t, got)
			if a, b := packettest.Fields(t, got), packettest.Fields(t, want); a.Payload != b.Payload || a.Src != b.Src {
				t.Errorf("the pieces make %s", packettest.Describe(got))
			}
		}
	}
}

// TestSplitBothWays: what comes in is cut for the inside's link, and again what is a
// fragment already.
func TestSplitBothWays(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	b := packettest.UDP(packettest.Datagram{Src: server, Dst: public, Payload: strings.Repeat("tide", 700), IP: packettest.IP{ID: 4}})
	r.hops.hop[nexthop.Inside].MTU = 9000
	want, _ := r.through(nexthop.Outside, b)
	r.hops.hop[nexthop.Inside].MTU = 700
	for _, name := range []string{"in order", "reversed", "shuffled"} {
		for _, piece := range orders[name](packettest.Fragments(b, 1500)) {
			r.send(nexthop.Outside, piece)
		}
		got, err := packettest.Reassemble(r.left(nexthop.Inside, 700))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v: %s", name, err, packettest.Describe(got))
		}
	}
}

// TestDontFragment: the sender learns the MTU, for whole packets, first fragments and
// super-packets, on either side.
func TestDontFragment(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	r.hops.hop[nexthop.Inside].MTU, r.hops.hop[nexthop.Outside].MTU = 1006, 1280
	for _, c := range []struct {
		from     nexthop.Side
		src, dst string
		own      string
		mtu      uint16
	}{{nexthop.Inside, client, server, insideAddr.String(), 1280}, {nexthop.Outside, server, public, "203.0.113.5", 1006}} {
		b := packettest.UDP(packettest.Datagram{Src: c.src, Dst: c.dst, Payload: strings.Repeat("x", 1400), IP: packettest.IP{DF: true}})
		r.expect(DropTooBig, c.from, b)
		r.wantError(c.from, c.own, 3, 4, c.mtu, b)
		r.expect(Forwarded, c.from, edited(b, func(b []byte) { b[6] = 0 }))
		r.left(opposite(c.from), int(c.mtu))
	}
	// What is a super-packet can't be cut here, whatever its header says.
	long := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("x", 4000)})
	if v := r.sendFrame(nexthop.Inside, super(long, gsoUDPv4, 1400, 28)); v != DropTooBig {
		t.Errorf("a super-packet of segments that don't fit: %v", v)
	}
	if v := r.one(nexthop.Inside); v.EchoSeq != 1280 {
		t.Errorf("its sender learns of %d", v.EchoSeq)
	}
	r.silent()
}

// TestSplitWhileWaiting: the link's MTU is known with the neighbour.
func TestSplitWhileWaiting(t *testing.T) {
	r := newRig(t)
	dst := packettest.Addr(serverHost)
	r.hops.status[dst] = nexthop.Unresolved
	b := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("x", 2000)})
	hello := packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.SYN, Options: []packettest.Option{packettest.NOP, packettest.MSS(1460)}})
	r.expect(Waiting, nexthop.Inside, b)
	if v := r.sendFrame(nexthop.Inside, partial(b)); v != Waiting {
		t.Fatal(v)
	}
	r.expect(Waiting, nexthop.Inside, hello)
	delete(r.hops.status, dst)
	r.hops.hop[nexthop.Outside].MTU = 1400
	r.sleep(50 * time.Millisecond)
	all := r.left(nexthop.Outside, 1400)
	if len(all) != 5 {
		t.Fatalf("%d packets went out, want two times two and one", len(all))
	}
	for _, two := range [][][]byte{all[:2], all[2:4]} {
		whole, err := packettest.Reassemble(slices.Clone(two))
		if err != nil {
			t.Fatal(err)
		}
		packettest.Check(t, whole)
	}
	if v := packettest.Fields(t, all[4]); v.Options != "\x01\x02\x04\x05\x50\x00\x00\x00" {
		t.Errorf("the SYN's options are % x", v.Options)
	}
}
