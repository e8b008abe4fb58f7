package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// trace notes which way packets go from now on.
func (r *rig) trace() *[]way {
	r.hops.ways = new([]way)
	return r.hops.ways
}

// last returns the last way that was asked for.
func last(ways *[]way) way { return (*ways)[len(*ways)-1] }

// TestFloating: the frame goes to the backend with all its addresses as they are.
func TestFloating(t *testing.T) {
	r := newSite(t, oneBackend)
	ways := r.trace()
	r.crosses(nexthop.Outside, syn(stranger, directFrontend), func(*packettest.View) {})
	if got := last(ways); got != (way{memberAddr, nexthop.Inside}) || slices.Contains(*ways, way{secondAddr, nexthop.Inside}) {
		t.Errorf("it went towards %+v", *ways)
	}
	f := r.flows()[0]
	if f.Via != memberAddr || f.Rule != ruleDirect || f.Owner != 0 || f.Backend() != memberAddr {
		t.Errorf("the flow is %+v", f)
	}
	answer := packettest.TCP(packettest.Segment{Src: directFrontend, Dst: stranger, Seq: 5, Ack: 1001, Flags: packet.SYN | packet.ACK})
	r.crosses(nexthop.Inside, answer, func(*packettest.View) {})
	if got := last(ways); got != (way{packettest.Addr("192.0.2.66"), nexthop.Outside}) {
		t.Errorf("the answer went towards %+v", got)
	}
	r.crosses(nexthop.Outside, packettest.TCP(packettest.Segment{Src: stranger, Dst: directFrontend, Seq: 1001, Ack: 6, Flags: packet.ACK}), func(*packettest.View) {})
	if s := r.flows()[0].State; s != conntrack.Established {
		t.Errorf("the flow is %v", s)
	}
}

// TestFloatingPort: a rule may lead to another port all the same.
func TestFloatingPort(t *testing.T) {
	r := newSite(t, oneBackend, func(s *siteOptions) { s.rules.Inbound[3].Backend.Port = 8081 })
	r.crosses(nexthop.Outside, syn(stranger, directFrontend), func(v *packettest.View) { v.Dst = "203.0.113.6:8081" })
	answer := packettest.TCP(packettest.Segment{Src: "203.0.113.6:8081", Dst: stranger, Seq: 5, Ack: 1001, Flags: packet.SYN | packet.ACK})
	r.crosses(nexthop.Inside, answer, func(v *packettest.View) { v.Src = directFrontend })
}

// oneWay is a connection of which only the client's half comes by.
func (r *rig) oneWay(from nexthop.Side, src, dst string) *pair {
	r.t.Helper()
	r.turned = from == nexthop.Inside
	p := &pair{r: r, a: &end{side: from, local: src, remote: dst, next: 100}, b: &end{side: nexthop.Inside, local: dst, remote: src, next: 900}}
	p.send(p.a, p.a.segment(packet.SYN, ""))
	p.a.next++
	p.b.want = p.a.next
	p.a.want, p.b.next = 901, 901 // the server's SYN, by its own way
	p.ack(p.a)
	p.say(p.a, 300)
	p.a.want, p.b.next = p.a.want+5000, p.b.next+5000 // and its answer
	p.ack(p.a)
	return p
}

// TestFloatingReset: both ends of a flow whose answers nobody has seen are told,
// by the client's word for either number, each by its own way.
func TestFloatingReset(t *testing.T) {
	for _, c := range []struct {
		from     nexthop.Side
		src, dst string
	}{{nexthop.Outside, stranger, directFrontend}, {nexthop.Inside, insideClient, "10.0.0.5:80"}} {
		r := newSite(t, oneBackend, func(s *siteOptions) { s.rules.Inbound[5].Backend.Port = 80 })
		p := r.oneWay(c.from, c.src, c.dst)
		if s := r.flows()[0].State; s != conntrack.Established {
			t.Fatalf("the flow is %v", s)
		}
		r.sleep(testIdle)
		r.silent()
		ways := r.trace()
		r.sleep(testIdle / 50)
		want := []way{{packettest.Addr(hostOf(c.src)), c.from}, {memberAddr, nexthop.Inside}}
		if diff := cmp.Diff(want, *ways, cmp.AllowUnexported(way{})); diff != "" {
			t.Errorf("the resets went (-want +got):\n%s", diff)
		}
		p.arrive()
		p.reset(t, 1, 1)
	}
}

// TestFloatingDown: a live flow goes on with its backend when new ones avoid it.
func TestFloatingDown(t *testing.T) {
	r := newSite(t)
	p := r.oneWay(nexthop.Outside, r.clientOf("10.0.0.10", directFrontend), directFrontend)
	r.health(false, "10.0.0.10")
	ways := r.trace()
	p.say(p.a, 10)
	if got := last(ways); got != (way{memberAddr, nexthop.Inside}) {
		t.Errorf("it went towards %+v", got)
	}
	r.pass(nexthop.Outside, syn(r.clientOf("10.0.0.11", directFrontend), directFrontend))
	if got := last(ways); got != (way{otherMember, nexthop.Inside}) {
		t.Errorf("a new one went towards %+v", got)
	}
}

// TestFloatingUnreachable: a backend whose neighbour is not known is solicited by
// its own address, not by the frontend's.
func TestFloatingUnreachable(t *testing.T) {
	r := newSite(t, oneBackend)
	r.hops.status[memberAddr] = nexthop.Unresolved
	r.expect(Waiting, nexthop.Outside, syn(stranger, directFrontend))
	if diff := cmp.Diff([]packet.Addr{memberAddr}, r.hops.solicited); diff != "" {
		t.Errorf("solicited (-want +got):\n%s", diff)
	}
	delete(r.hops.status, memberAddr)
	r.sleep(50 * time.Millisecond)
	if v := r.one(nexthop.Inside); v.Dst != directFrontend || v.Src != stranger {
		t.Errorf("went %s > %s", v.Src, v.Dst)
	}
}

// TestInstance: an instance-level public IP in both directions, for every protocol,
// with ports as they are.
func TestInstance(t *testing.T) {
	r := newSite(t)
	for _, src := range []string{"10.0.0.20:22", "10.0.0.20:40000"} {
		r.crosses(nexthop.Inside, datagram(src, server), func(v *packettest.View) { v.Src = endpoint(pipAddr, portOf(src)) })
		r.crosses(nexthop.Outside, datagram(server, endpoint(pipAddr, portOf(src))), func(v *packettest.View) { v.Dst = src })
		r.crosses(nexthop.Inside, syn(src, server), func(v *packettest.View) { v.Src = endpoint(pipAddr, portOf(src)) })
	}
	r.crosses(nexthop.Outside, syn(stranger, "203.0.113.9:22"), func(v *packettest.View) { v.Dst = "10.0.0.20:22" })
	r.crosses(nexthop.Outside, datagram(stranger, "203.0.113.9:1"), func(v *packettest.View) { v.Dst = "10.0.0.20:1" })
	r.crosses(nexthop.Inside, datagram("10.0.0.20:1", stranger), func(v *packettest.View) { v.Src = "203.0.113.9:1" })
	r.crosses(nexthop.Outside, ping("192.0.2.66", pipAddr, 7), func(v *packettest.View) { v.Dst = pipBackend })
	r.crosses(nexthop.Inside, pong(pipBackend, "192.0.2.66", 7), func(v *packettest.View) { v.Src = pipAddr })
	r.crosses(nexthop.Inside, ping(pipBackend, serverHost, 8), func(v *packettest.View) { v.Src = pipAddr })
	r.crosses(nexthop.Outside, pong(serverHost, pipAddr, 8), func(v *packettest.View) { v.Dst = pipBackend })
	if n := r.Snapshot().Counters.Created[rulePIP]; n != [conntrack.NumProtocols]uint64{3, 3, 2} {
		t.Errorf("counted %v flows", n)
	}
}

// TestInstanceResets: either direction is a flow that is given up loudly.
func TestInstanceResets(t *testing.T) {
	r := newSite(t)
	in := r.meet(nexthop.Outside, stranger, "203.0.113.9:22")
	if in.b.local != "10.0.0.20:22" {
		t.Errorf("it goes to %s", in.b.local)
	}
	in.talk(100)
	in.wantReset(t)
	out := &pair{r: r, a: &end{local: "10.0.0.20:40000", remote: server, next: 7}, b: &end{side: nexthop.Outside, local: server, next: 8}}
	out.handshake()
	out.talk(100)
	out.wantReset(t)
}

// TestInstanceBeforeOutboundRule: a member with both leaves by its own address.
func TestInstanceBeforeOutboundRule(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.rules.Instances[0].Backend = memberAddr })
	r.crosses(nexthop.Inside, syn(client, server), func(v *packettest.View) { v.Src = "203.0.113.9:40000" })
	r.crosses(nexthop.Inside, datagram(client, server), func(v *packettest.View) { v.Src = "203.0.113.9:40000" })
	if l := r.lease(client, indexTCP); l.Opened != 0 {
		t.Error("it took a SNAT port")
	}
	r.turned = true
	p := r.meet(nexthop.Inside, client, webFrontend)
	if p.b.remote != "203.0.113.9:40000" {
		t.Errorf("a backend sees it as %s", p.b.remote)
	}
}

// TestInstanceFromInside: a member reaches it as from outside; who has no port to
// be seen with does not.
func TestInstanceFromInside(t *testing.T) {
	r := newSite(t)
	p := r.meet(nexthop.Inside, client, "203.0.113.9:22")
	if p.b.local != "10.0.0.20:22" || !r.lease(client, indexTCP).owns(p.b.remote) {
		t.Errorf("it goes to %s as %s", p.b.local, p.b.remote)
	}
	r.expect(DropNoRule, nexthop.Inside, syn(ruleless, "203.0.113.9:22"))
	r.expect(DropNoRule, nexthop.Inside, syn(insideClient, "203.0.113.9:22"))
	r.silent()
}

// TestFloatingAsked: the client alone is asked, for the server's answer would not
// come by, and its own is enough.
func TestFloatingAsked(t *testing.T) {
	r := newSite(t, oneBackend, asking)
	p := r.oneWay(nexthop.Outside, stranger, directFrontend)
	r.sleep(testIdle + time.Second)
	v := r.one(nexthop.Outside)
	if v.Seq != p.a.want-1 || v.Ack != p.a.next || v.Flags != packet.ACK || v.Src != directFrontend || v.Dst != stranger {
		t.Errorf("the client is asked by %+v", v)
	}
	r.silent()
	p.ack(p.a)
	r.sleep(testIdle - time.Second)
	r.silent()
	if n := r.table.Len(); n != 1 {
		t.Errorf("%d flows live", n)
	}
	r.sleep(8 * time.Second)
	if n := len(r.take(nexthop.Outside)); n != 3+1 {
		t.Errorf("the client got %d segments, want three questions and a RST", n)
	}
	if n := len(r.take(nexthop.Inside)); n != 1 {
		t.Errorf("the server got %d segments, want a RST", n)
	}
}

// TestFloatingDrained: both ends of a one-way flow are told.
func TestFloatingDrained(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.pool.Drain = drainPeriod })
	p := r.oneWay(nexthop.Outside, r.clientOf("10.0.0.10", directFrontend), directFrontend)
	r.SetBackends("vms", bothBackends[1:])
	r.rebalance()
	r.sleep(drainPeriod - 50*time.Millisecond)
	r.silent()
	ways := r.trace()
	r.sleep(50 * time.Millisecond)
	want := []way{{packettest.Addr("192.0.2.66"), nexthop.Outside}, {memberAddr, nexthop.Inside}}
	if diff := cmp.Diff(want, *ways, cmp.AllowUnexported(way{})); diff != "" {
		t.Errorf("the resets went (-want +got):\n%s", diff)
	}
	p.arrive()
	p.reset(t, 1, 1)
}
