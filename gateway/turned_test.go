package gateway

import (
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// TestInternalFrontend: a client inside, whether in a pool or in none. The backend
// sees the frontend's address, so that its answers come back.
func TestInternalFrontend(t *testing.T) {
	for _, src := range []string{insideClient, ruleless, "10.0.0.11:5000", "10.0.0.20:5000"} {
		r := newSite(t)
		p := r.meet(nexthop.Inside, src, "10.0.0.4:443")
		if hostOf(p.b.remote) != "10.0.0.4" || portOf(p.b.remote) < nat.FirstPort || portOf(p.b.remote) > nat.LastPort {
			t.Errorf("%s comes to its backend as %s", src, p.b.remote)
		}
		if port := portOf(p.b.local); port != 8444 {
			t.Errorf("%s comes to port %d", src, port)
		}
		f := r.flows()[0]
		if !f.Inside || !f.Turned || f.Rule != ruleExact || f.Owner == 0 {
			t.Errorf("the flow is %+v", f)
		}
		p.talk(1000)
		p.wantReset(t)
	}
}

// TestOwnBackend is a backend that is led to itself.
func TestOwnBackend(t *testing.T) {
	for _, c := range []struct{ dst, seen string }{{"10.0.0.4:443", "10.0.0.4"}, {webFrontend, "203.0.113.5"}} {
		r := newSite(t, oneBackend)
		p := r.meet(nexthop.Inside, client, c.dst)
		if hostOf(p.b.local) != "10.0.0.10" || hostOf(p.b.remote) != c.seen {
			t.Errorf("%s is led to %s as %s", client, p.b.local, p.b.remote)
		}
		p.talk(100)
		p.wantReset(t)
	}
}

// TestHAPorts: every port of TCP and UDP, save the one that has a rule.
func TestHAPorts(t *testing.T) {
	r := newSite(t)
	r.turned = true
	for _, port := range []uint16{1, 80, 442, 444, 1024, 9999, 65535} {
		v := r.pass(nexthop.Inside, syn(insideClient, endpoint("10.0.0.4", port)))
		if portOf(v.Dst) != port || hostOf(v.Src) != "10.0.0.4" {
			t.Errorf("a SYN to port %d goes to %s from %s", port, v.Dst, v.Src)
		}
		v = r.pass(nexthop.Inside, datagram(insideClient, endpoint("10.0.0.4", port)))
		if portOf(v.Dst) != port || hostOf(v.Src) != "10.0.0.4" {
			t.Errorf("a datagram to port %d goes to %s from %s", port, v.Dst, v.Src)
		}
		back := r.pass(nexthop.Inside, datagram(v.Dst, v.Src))
		if back.Src != endpoint("10.0.0.4", port) || back.Dst != insideClient {
			t.Errorf("the answer comes from %s to %s", back.Src, back.Dst)
		}
	}
	if v := r.pass(nexthop.Inside, syn(insideClient, "10.0.0.4:443")); portOf(v.Dst) != 8444 {
		t.Errorf("the port with a rule of its own goes to %s", v.Dst)
	}
	created := r.Snapshot().Counters.Created
	if created[ruleAny] != [conntrack.NumProtocols]uint64{7, 7, 0} || created[ruleExact] != [conntrack.NumProtocols]uint64{1, 0, 0} {
		t.Errorf("counted %v and %v", created[ruleAny], created[ruleExact])
	}
	r.turned = false
	p := newSite(t, func(s *siteOptions) { s.Rules[ruleAny].Reset, s.Rules[ruleAny].Late = false, false }).
		meet(nexthop.Inside, insideClient, "10.0.0.4:9999")
	p.r.sleep(testIdle * 51 / 50)
	p.r.silent()
	p.r.gone()
	p.r.expect(DropNoFlow, nexthop.Inside, packettest.TCP(p.a.segment(packet.ACK, "too late")))
	p.r.silent()
}

// TestInternalFromOutside: an internal frontend is answered on the inside only.
func TestInternalFromOutside(t *testing.T) {
	r := newSite(t)
	for _, b := range [][]byte{
		syn(stranger, "10.0.0.4:443"), syn(stranger, "10.0.0.4:9999"), datagram(stranger, "10.0.0.4:53"), syn(stranger, innerFrontend), ping("192.0.2.66", "10.0.0.4", 1),
	} {
		r.expect(DropNotOurs, nexthop.Outside, b)
	}
	r.expect(Answered, nexthop.Inside, ping("10.0.0.50", "10.0.0.4", 1))
	r.one(nexthop.Inside)
	r.silent()
	r.gone()
}

// TestHairpin: a member that asks a public frontend is seen with the address that
// it has outside too (RFC 4787 REQ-9).
func TestHairpin(t *testing.T) {
	r := newSite(t)
	p := r.meet(nexthop.Inside, client, webFrontend)
	if !r.lease(client, indexTCP).owns(p.b.remote) {
		t.Errorf("%s is seen as %s, which is not its own", client, p.b.remote)
	}
	p.talk(100)
	p.wantReset(t)

	r = newSite(t)
	outside := r.udp(client, server)
	r.turned = true
	v := r.pass(nexthop.Inside, datagram(client, dnsFrontend))
	if v.Src != outside {
		t.Errorf("%s is %s outside and %s inside (RFC 4787 REQ-1)", client, outside, v.Src)
	}
	if back := r.pass(nexthop.Inside, datagram(v.Dst, v.Src)); back.Src != dnsFrontend || back.Dst != client {
		t.Errorf("the answer comes from %s to %s", back.Src, back.Dst)
	}
}

// TestHairpinNATRule: an inbound NAT rule is asked from the inside like any other.
func TestHairpinNATRule(t *testing.T) {
	r := newSite(t)
	p := r.meet(nexthop.Inside, otherClient, frontendSSH)
	if p.b.local != "10.0.0.10:22" || !r.lease(otherClient, indexTCP).owns(p.b.remote) {
		t.Errorf("%s is led to %s as %s", otherClient, p.b.local, p.b.remote)
	}
	p.wantReset(t)
}

// TestHairpinWithoutOutboundRule: the frontend lends a port of its own, above
// those for SNAT.
func TestHairpinWithoutOutboundRule(t *testing.T) {
	r := newSite(t)
	p := r.meet(nexthop.Inside, ruleless, webFrontend)
	if hostOf(p.b.remote) != "203.0.113.6" || portOf(p.b.remote) < nat.FirstHairpinPort {
		t.Errorf("%s is seen as %s", ruleless, p.b.remote)
	}
	p.talk(100)
	p.wantReset(t)
}

func TestHairpinOfNobody(t *testing.T) {
	r := newSite(t)
	r.expect(DropNotMember, nexthop.Inside, syn(insideClient, webFrontend))
	r.expect(DropNotMember, nexthop.Inside, datagram(insideClient, dnsFrontend))
	r.expect(DropNotMember, nexthop.Inside, packettest.TCP(packettest.Segment{Src: insideClient, Dst: webFrontend, Flags: packet.ACK}))
	r.silent()
	r.gone()
}

// TestHairpinExhausted: 512 ports for each backend of a public frontend, and the
// client learns that none is left.
func TestHairpinExhausted(t *testing.T) {
	for _, reset := range []bool{true, false} {
		r := newSite(t, oneBackend, func(s *siteOptions) { s.Rules[ruleWeb].Reset = reset })
		r.turned = true
		seen := map[string]bool{}
		for port := range uint16(512) {
			seen[r.pass(nexthop.Inside, syn(endpoint("10.0.0.30", 1000+port), webFrontend)).Src] = true
		}
		if len(seen) != 512 {
			t.Errorf("512 flows have %d ports", len(seen))
		}
		lost := syn("10.0.0.30:999", webFrontend)
		r.expect(DropExhausted, nexthop.Inside, lost)
		if !reset {
			r.wantError(nexthop.Inside, insideAddr.String(), 3, 13, 0, lost)
			continue
		}
		if v := r.one(nexthop.Inside); v.Flags&packet.RST == 0 || v.Ack != 1001 || v.Src != webFrontend || v.Dst != "10.0.0.30:999" {
			t.Errorf("the client got %+v", v)
		}
		if n := r.Snapshot().Counters.Resets[ruleWeb][ResetExhausted]; n != [2]uint64{1, 0} {
			t.Errorf("resets are counted %v", n)
		}
		r.pass(nexthop.Inside, syn(client, webFrontend)) // a member with ports of its own
		r.sleep(31 * time.Second)
		r.gone()
	}
}

// TestTurnedIsDeafToTheOutside: both ends of the flow are inside, and nobody
// outside speaks for them.
func TestTurnedIsDeafToTheOutside(t *testing.T) {
	p := newSite(t).meet(nexthop.Inside, insideClient, "10.0.0.4:443")
	for _, e := range []*end{p.a, p.b} {
		p.r.expect(DropWrongSide, nexthop.Outside, packettest.TCP(e.segment(packet.ACK, "spoofed")))
	}
	p.r.silent()
	p.talk(10)
}

// TestTunnelSides: what the kernel routes into the tunnel comes from the inside if
// it is for an internal frontend, or from a member.
func TestTunnelSides(t *testing.T) {
	r := newTunnelRig(t, ssh(), func(o *Options) { siteChange(t, o, nil) })
	r.health(true, "10.0.0.10", "10.0.0.11")
	for _, c := range []struct {
		src, dst string
		want     nexthop.Side
	}{
		{insideClient, "10.0.0.4:443", nexthop.Inside}, {insideClient, innerFrontend, nexthop.Inside}, {client, "10.0.0.4:9999", nexthop.Inside},
		{client, webFrontend, nexthop.Inside}, {client, server, nexthop.Inside}, {insideClient, server, nexthop.Inside},
		{stranger, webFrontend, nexthop.Outside}, {stranger, "203.0.113.9:22", nexthop.Outside}, {"10.0.0.20:1", "203.0.113.5:2222", nexthop.Inside},
	} {
		if got := r.SideOf(packettest.Tuple(packet.TCP, c.src, c.dst)); got != c.want {
			t.Errorf("%s > %s comes from %v, want %v", c.src, c.dst, got, c.want)
		}
	}
	for src, dst := range map[string]string{insideClient: "10.0.0.4:443", client: webFrontend} {
		p := r.meet(nexthop.Inside, src, dst)
		p.talk(10)
		for e, want := range map[*end]nexthop.Side{p.a: nexthop.Inside, p.b: nexthop.Inside} {
			if got := r.SideOf(packettest.Tuple(packet.TCP, e.local, e.remote)); got != want {
				t.Errorf("%s > %s comes from %v", e.local, e.remote, got)
			}
		}
	}
	p := r.meet(nexthop.Outside, stranger, webFrontend)
	p.talk(10)
	if got := r.SideOf(packettest.Tuple(packet.TCP, p.b.local, p.b.remote)); got != nexthop.Inside {
		t.Errorf("an answer comes from %v", got)
	}
}
