package gateway

import (
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet/packettest"
)

// udp sends a datagram out and returns the endpoint it leaves with.
func (r *rig) udp(src, dst string) (external string) {
	r.t.Helper()
	return r.crosses(nexthop.Inside, datagram(src, dst), func(v *packettest.View) {
		if v.Src = r.external(src); v.Src == "" {
			r.t.Fatalf("%s has no mapping", src)
		}
	}).Src
}

// external looks a member's UDP mapping up in the list of flows.
func (r *rig) external(src string) (external string) {
	r.Flows(0, func(f *conntrack.Flow) bool {
		if f.Tuple[conntrack.Original].Source().String() == src {
			external = f.Tuple[conntrack.Reply].Destination().String()
		}
		return true
	})
	return external
}

func TestUDPMappingIsEndpointIndependent(t *testing.T) {
	r := newRig(t)
	first := r.udp(client, server)
	if !r.lease(client, indexUDP).owns(first) {
		t.Errorf("%s is not the member's", first)
	}
	if second := r.udp(client, secondServer); second != first {
		t.Errorf("towards another destination %s leaves as %s, not %s (RFC 4787 REQ-1)", client, second, first)
	}
	for _, other := range []string{"10.0.0.10:40001", otherClient} {
		if r.udp(other, server) == first {
			t.Errorf("%s has the port of %s", other, client)
		}
	}
	for _, from := range []string{server, secondServer} {
		r.crosses(nexthop.Outside, datagram(from, first), func(v *packettest.View) { v.Dst = client })
	}
}

func TestUDPFiltering(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	for _, from := range []string{stranger, "198.51.100.7:444", "198.51.100.9:443", secondServer} {
		r.expect(DropNoFlow, nexthop.Outside, datagram(from, public))
	}
	r.expect(DropNoFlow, nexthop.Outside, syn(server, public))
	r.silent()
}

func TestUDPZeroChecksum(t *testing.T) {
	r := newRig(t)
	out := packettest.UDP(packettest.Datagram{Src: client, Dst: server, NoChecksum: true, Payload: "x"})
	r.expect(Forwarded, nexthop.Inside, out)
	sent := r.one(nexthop.Outside)
	back := r.pass(nexthop.Outside, packettest.UDP(packettest.Datagram{Src: server, Dst: sent.Src, NoChecksum: true, Payload: "y"}))
	if !sent.NoChecksum || !back.NoChecksum {
		t.Errorf("zero checksums became others: out %t, back %t", !sent.NoChecksum, !back.NoChecksum)
	}
}

// The mapping lives as long as any of its flows, each of which has its own timer.
func TestUDPMappingLife(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	r.sleep(testIdle / 2)
	r.udp(client, secondServer)
	r.sleep(testIdle/2 + 10*time.Second)
	r.expect(DropNoFlow, nexthop.Outside, datagram(server, public))
	r.crosses(nexthop.Outside, datagram(secondServer, public), func(v *packettest.View) { v.Dst = client })
	if again := r.udp(client, server); again != public {
		t.Errorf("the mapping changed from %s to %s while a flow of it lived", public, again)
	}
	r.sleep(testIdle * 51 / 50)
	r.silent()
	r.gone()
	if n := r.Snapshot().Counters.Closed[ruleEgress][indexUDP][conntrack.Idle]; n != 3 {
		t.Errorf("%d flows are counted as idle, want 3", n)
	}
}

func TestUDPAnswersKeepTheFlow(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	for range 3 {
		r.sleep(testIdle - time.Second)
		r.pass(nexthop.Outside, datagram(server, public))
	}
	r.sleep(testIdle * 51 / 50)
	r.silent()
	r.gone()
}

func TestUDPExhausted(t *testing.T) {
	r := newRig(t)
	r.fill("10.0.0.10", memberPorts)
	r.expect(DropExhausted, nexthop.Inside, datagram(client, server))
	got := r.one(nexthop.Inside)
	if got.Src != insideAddr.String() || got.Dst != "10.0.0.10" || got.Type != 3 || got.Code != 13 {
		t.Errorf("the member learns of it by %+v, want administratively prohibited", got)
	}
	r.udp("10.0.0.10:1000", secondServer) // a mapping takes any number of destinations
	r.udp(otherClient, server)            // and another member has ports of its own
	if l := r.lease(client, indexUDP); l.Failed != 1 || l.Opened != memberPorts+1 {
		t.Errorf("counted %d failed and %d opened, want 1 and %d", l.Failed, l.Opened, memberPorts+1)
	}
	r.sleep(testIdle * 51 / 50)
	r.gone()
	r.udp(client, server)
}

// An administrator's silence rule: without addresses of the gateway's own the
// error comes from the address that the member wrote to.
func TestErrorFromAnAddressTheSenderKnows(t *testing.T) {
	r := newRig(t)
	r.hops.addresses[nexthop.Inside] = 0
	r.fill("10.0.0.10", memberPorts)
	r.expect(DropExhausted, nexthop.Inside, datagram(client, server))
	if got := r.one(nexthop.Inside); got.Src != hostOf(server) {
		t.Errorf("the error comes from %s, want %s", got.Src, hostOf(server))
	}
}
