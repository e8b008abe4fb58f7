package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

const serverHost = "198.51.100.7"

func ping(src, dst string, ident uint16) []byte {
	return packettest.EchoRequest(packettest.Echo{Src: src, Dst: dst, Ident: ident, Seq: 3, Payload: "ping"})
}

func pong(src, dst string, ident uint16) []byte {
	return packettest.EchoReply(packettest.Echo{Src: src, Dst: dst, Ident: ident, Seq: 3, Payload: "ping"})
}

// ping sends an echo request out and returns the identifier it leaves with.
func (r *rig) ping(src, dst string, ident uint16) (external uint16) {
	r.t.Helper()
	r.crosses(nexthop.Inside, ping(src, dst, ident), func(v *packettest.View) {
		v.Src = publicAddr.String()
		v.Ident = portOf(r.external(endpoint(src, ident)))
		external = v.Ident
	})
	return external
}

func TestPing(t *testing.T) {
	r := newRig(t)
	first := r.ping("10.0.0.10", serverHost, 7)
	if other := r.ping("10.0.0.11", serverHost, 7); other == first {
		t.Error("two members share an identifier")
	}
	if again := r.ping("10.0.0.10", "198.51.100.8", 7); again != first {
		t.Errorf("towards another destination the identifier is %d, not %d", again, first)
	}
	r.crosses(nexthop.Outside, pong(serverHost, "203.0.113.5", first), func(v *packettest.View) { v.Dst, v.Ident = "10.0.0.10", 7 })
	r.expect(DropNoFlow, nexthop.Outside, pong("192.0.2.66", "203.0.113.5", first))
	r.expect(DropNoFlow, nexthop.Outside, pong(serverHost, "203.0.113.5", 7))
	r.sleep(32 * time.Second)
	r.silent()
	r.gone()
}

// With identifier zero a request and a reply carry the same tuple; only the
// request belongs to the member's flow.
func TestEchoReplyOfAMember(t *testing.T) {
	for _, ident := range []uint16{0, 7} {
		r := newRig(t)
		r.ping("10.0.0.10", serverHost, ident)
		r.expect(DropNoFlow, nexthop.Inside, pong("10.0.0.10", serverHost, ident))
		r.silent()
	}
}

func TestPingFrontend(t *testing.T) {
	for side, src := range []string{"10.0.0.99", "192.0.2.66"} {
		for _, frontend := range []string{"203.0.113.5", "203.0.113.6"} {
			r := newRig(t)
			r.expect(Answered, nexthop.Side(side), edited(ping(src, frontend, 9), func(b []byte) { b[8] = 1 }))
			link := slices.Clone(r.sent[side][0][:headroom])
			want := packettest.Fields(t, pong(frontend, src, 9))
			if diff := cmp.Diff(want, r.one(nexthop.Side(side))); diff != "" {
				t.Error(diff)
			}
			turned := packettest.Ethernet(nil, packettest.Link{VNet: true, Src: "02:00:00:00:00:02", Dst: "02:00:00:00:00:01"})
			if !slices.Equal(link, turned) {
				t.Errorf("the answer's frame begins % x, want % x", link, turned)
			}
			r.silent()
			r.gone()
		}
	}
}

func TestTimeExceeded(t *testing.T) {
	r := newRig(t)
	c := r.open(client)
	out := packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: c.clientSeq, Flags: packet.ACK, IP: packettest.IP{TTL: 1}})
	r.expect(DropTTL, nexthop.Inside, out)
	r.wantError(nexthop.Inside, insideAddr.String(), 11, 0, 0, out)
	in := packettest.TCP(packettest.Segment{Src: server, Dst: c.public, Seq: c.serverSeq, Flags: packet.ACK, IP: packettest.IP{TTL: 1}})
	r.expect(DropTTL, nexthop.Outside, in)
	r.wantError(nexthop.Outside, publicAddr.String(), 11, 0, 0, in)
	r.silent()
}

func TestTooBig(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	r.hops.hop[nexthop.Inside].MTU, r.hops.hop[nexthop.Outside].MTU = 1300, 1400
	long := strings.Repeat("x", 1400-28)
	fits := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: long, IP: packettest.IP{DF: true}})
	r.pass(nexthop.Inside, fits)
	out := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: long + "x", IP: packettest.IP{DF: true}})
	r.expect(DropTooBig, nexthop.Inside, out)
	r.wantError(nexthop.Inside, insideAddr.String(), 3, 4, 1400, out)
	in := packettest.UDP(packettest.Datagram{Src: server, Dst: public, Payload: long, IP: packettest.IP{DF: true}})
	r.expect(DropTooBig, nexthop.Outside, in)
	r.wantError(nexthop.Outside, publicAddr.String(), 3, 4, 1300, in)
	r.silent()
}

// wantError wants one ICMP error about a packet, which is quoted as its sender sent it.
func (r *rig) wantError(to nexthop.Side, from string, typ, code uint8, mtu uint16, about []byte) {
	r.t.Helper()
	quote := about[:min(len(about), 548)]
	want := packettest.Fields(r.t, packettest.ICMPError(packettest.Error{
		Src: from, Type: typ, Code: code, MTU: mtu, Quote: quote, IP: packettest.IP{TTL: 64, DF: true},
	}))
	got := r.one(to)
	want.ID = got.ID
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("the ICMP error is not as expected (-want +got):\n%s", diff)
	}
}

func TestNoErrorAboutAnEchoReply(t *testing.T) {
	r := newRig(t)
	external := r.ping("10.0.0.10", serverHost, 7)
	r.expect(DropTTL, nexthop.Outside, edited(pong(serverHost, "203.0.113.5", external), func(b []byte) { b[8] = 1 }))
	r.silent()
	r.expect(DropTTL, nexthop.Inside, edited(ping("10.0.0.10", serverHost, 7), func(b []byte) { b[8] = 1 }))
	r.one(nexthop.Inside)
}

func TestErrorsAreLimited(t *testing.T) {
	r := newRig(t)
	dying := edited(datagram(client, server), func(b []byte) { b[8] = 1 })
	count := func(n int) (answers int) {
		for range n {
			r.expect(DropTTL, nexthop.Inside, slices.Clone(dying))
		}
		return len(r.take(nexthop.Inside))
	}
	if n := count(3 * icmpBurst); n != icmpBurst {
		t.Errorf("a burst draws %d errors, want %d", n, icmpBurst)
	}
	r.clock += int64(20 * time.Millisecond)
	if n := count(3 * icmpBurst); n != 20*icmpPerSecond/1000 {
		t.Errorf("20 ms later %d more, want %d", n, 20*icmpPerSecond/1000)
	}
}
