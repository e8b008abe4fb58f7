package gateway

import (
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

const peerA, peerB = "10.0.0.10:4000", "10.0.0.11:5000"

// TestPeers: two members that know each other's external endpoints, by a third party
// outside, speak to each other through them (RFC 4787 REQ-9), and are seen with them.
func TestPeers(t *testing.T) {
	for _, tunnel := range []bool{false, true} {
		r := newSubjectRig(t, tunnel)
		a, b := r.udp(peerA, server), r.udp(peerB, server)
		out, side := r.through(nexthop.Inside, datagram(peerA, b))
		if v := packettest.Fields(t, out); side != nexthop.Inside || v.Src != a || v.Dst != peerB {
			t.Errorf("tunnel %t: A's datagram came out %v as %s > %s", tunnel, side, v.Src, v.Dst)
		}
		before := r.table.Len()
		out, side = r.through(nexthop.Inside, datagram(peerB, a))
		if v := packettest.Fields(t, out); side != nexthop.Inside || v.Src != b || v.Dst != peerA {
			t.Errorf("tunnel %t: B's datagram came out %v as %s > %s", tunnel, side, v.Src, v.Dst)
		}
		if n := r.table.Len(); n != before || n != 3 {
			t.Errorf("tunnel %t: %d flows, before B spoke %d", tunnel, n, before)
		}
		// Errors and fragments go the same way.
		seen, _ := r.through(nexthop.Inside, datagram(peerA, b))
		out, _ = r.through(nexthop.Inside, packettest.ICMPError(packettest.Error{Src: "10.0.0.11", Type: 3, Code: 3, Quote: seen}))
		if v, q := packettest.Fields(t, out), packettest.Quoted(t, out); v.Src != hostOf(b) || v.Dst != "10.0.0.10" || q.Src != peerA || q.Dst != b {
			t.Errorf("tunnel %t: the error is %+v about %+v", tunnel, v, q)
		}
		whole, _ := r.inPieces(nexthop.Inside, grown(t, datagram(peerA, b), 1), orders["shuffled"])
		r.same(nexthop.Inside, grown(t, datagram(peerA, b), 1), whole)
		r.sleep(testIdle * 51 / 50)
		r.silent()
		r.gone()
	}
}

// TestPeersRefused: who is in no pool, what nobody has, and what is not UDP.
func TestPeersRefused(t *testing.T) {
	r := newSite(t)
	b := r.udp(peerB, server)
	free := endpoint("203.0.113.5", portOf(b)^1)
	for _, c := range []struct {
		want Verdict
		from nexthop.Side
		b    []byte
	}{
		{DropNotMember, nexthop.Inside, datagram(insideClient, b)},
		{DropNoFlow, nexthop.Inside, datagram(peerA, free)},
		{DropNoFlow, nexthop.Inside, datagram(peerA, "203.0.113.5:60000")},
		{DropNoFlow, nexthop.Inside, syn(peerA, b)},
		{DropNoFlow, nexthop.Outside, datagram(stranger, b)},
		{Answered, nexthop.Inside, ping("10.0.0.10", "203.0.113.5", portOf(b))},
	} {
		r.expect(c.want, c.from, c.b)
		r.sent = [2][][]byte{}
	}
	if n := r.table.Len(); n != 1 {
		t.Errorf("%d flows", n)
	}
}

// TestPeersWithoutARule: a member that can't go out has no endpoint to be seen with;
// the other's is only as long as its owner's flows.
func TestPeersWithoutARule(t *testing.T) {
	r := newSite(t)
	b := r.udp(peerB, server)
	r.expect(DropNoRule, nexthop.Inside, datagram(ruleless, b))
	r.sleep(testIdle * 51 / 50)
	r.gone()
	r.expect(DropNoFlow, nexthop.Inside, datagram(peerA, b))
	r.silent()
}

// TestPeerOfOneself: a member that asks its own external endpoint hears itself.
func TestPeerOfOneself(t *testing.T) {
	r := newSite(t)
	r.turned = true
	a := func() string { r.turned = false; defer func() { r.turned = true }(); return r.udp(peerA, server) }()
	for range 3 {
		if v := r.pass(nexthop.Inside, datagram(peerA, a)); v.Src != a || v.Dst != peerA {
			t.Errorf("it came out as %s > %s", v.Src, v.Dst)
		}
	}
	r.sleep(testIdle * 51 / 50)
	r.silent()
	r.gone()
}

// TestUDPOutboundOnly: what comes in does not keep an outbound flow; a load-balanced
// one it does.
func TestUDPOutboundOnly(t *testing.T) {
	for _, only := range []bool{false, true} {
		r := newSite(t, oneBackend, func(s *siteOptions) { s.Timers.UDPOutboundOnly = only })
		public := r.udp(client, server)
		r.pass(nexthop.Outside, datagram(stranger, dnsFrontend))
		r.turned = true
		inner := r.pass(nexthop.Inside, datagram(insideClient, "10.0.0.4:999"))
		r.turned = false
		for range 3 {
			r.sleep(testIdle / 2)
			r.send(nexthop.Outside, datagram(server, public))
			r.sent = [2][][]byte{}
			r.pass(nexthop.Outside, datagram(stranger, dnsFrontend))
			r.expect(Forwarded, nexthop.Inside, datagram(inner.Dst, inner.Src))
			r.sent = [2][][]byte{}
		}
		want := map[bool]int{false: 3, true: 2}[only]
		if n := r.table.Len(); n != want {
			t.Errorf("outbound only %t: %d flows live, want %d", only, n, want)
		}
		if only {
			r.expect(DropNoFlow, nexthop.Outside, datagram(server, public))
		}
	}
	r := newRig(t, func(o *Options) { o.Timers.UDPOutboundOnly = true })
	c := r.open(client)
	r.udp(peerA, server)
	for range 3 {
		r.sleep(testIdle / 2)
		r.udp(peerA, server)
		c.fromServer("x", packet.ACK)
	}
	if n := r.closed(ruleEgress, indexUDP, conntrack.Idle) + r.closed(ruleEgress, indexTCP, conntrack.Idle); n != 0 {
		t.Errorf("%d flows ended that were spoken on", n)
	}
	r.sleep(testIdle*51/50 + time.Second)
	r.take(nexthop.Inside)
	r.take(nexthop.Outside)
	r.gone()
}
