package gateway

import (
	"testing"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

const frontendSSH = "203.0.113.5:2222"

func TestInboundNATRule(t *testing.T) {
	r := newRig(t)
	hello := packettest.TCP(packettest.Segment{Src: stranger, Dst: frontendSSH, Seq: 9, Flags: packet.SYN, Options: wide})
	r.crosses(nexthop.Outside, hello, func(v *packettest.View) { v.Dst = "10.0.0.10:22" })
	answer := packettest.TCP(packettest.Segment{Src: "10.0.0.10:22", Dst: stranger, Seq: 5, Ack: 10, Flags: packet.SYN | packet.ACK, Options: wide})
	r.crosses(nexthop.Inside, answer, func(v *packettest.View) { v.Src = frontendSSH })
	ack := packettest.TCP(packettest.Segment{Src: stranger, Dst: frontendSSH, Seq: 10, Ack: 6, Flags: packet.ACK, Payload: "SSH-2.0-client"})
	r.crosses(nexthop.Outside, ack, func(v *packettest.View) { v.Dst = "10.0.0.10:22" })
	f := r.flows()[0]
	if f.State != conntrack.Established || f.Inside || f.Rule != ruleSSH || f.Owner != 0 {
		t.Errorf("the flow is %+v", f)
	}
	s := r.Snapshot()
	if n := s.Counters.Created[ruleSSH][indexTCP]; n != 1 {
		t.Errorf("%d flows are counted for the rule", n)
	}
	if l := r.lease(client, indexTCP); l.Opened != 0 {
		t.Error("an inbound flow took a SNAT port")
	}
}

func TestInboundRuleIsForItsProtocolAndAddressOnly(t *testing.T) {
	r := newRig(t)
	for _, b := range [][]byte{
		datagram(stranger, frontendSSH), syn(stranger, "203.0.113.6:2222"), syn(stranger, "203.0.113.5:2223"), syn(stranger, "203.0.113.5:22"),
	} {
		r.expect(DropNoFlow, nexthop.Outside, b)
	}
	r.silent()
}

func TestInboundUDP(t *testing.T) {
	dns := nat.InboundRule{
		Rule: ruleSSH, Name: "dns", Protocol: packet.UDP,
		Frontend: nat.Endpoint{Addr: secondAddr, Port: 53}, Backend: nat.Endpoint{Addr: packettest.Addr("10.0.0.53"), Port: 5353},
	}
	r := newRig(t, func(o *Options) { o.Policy = newPolicy(t, egress(), dns) })
	for _, from := range []string{stranger, server} {
		r.crosses(nexthop.Outside, datagram(from, "203.0.113.6:53"), func(v *packettest.View) { v.Dst = "10.0.0.53:5353" })
		r.crosses(nexthop.Inside, datagram("10.0.0.53:5353", from), func(v *packettest.View) { v.Src = "203.0.113.6:53" })
	}
	r.expect(DropNotMember, nexthop.Inside, datagram("10.0.0.53:5353", "192.0.2.99:1")) // nobody has asked
	r.sleep(testIdle * 51 / 50)
	r.silent()
	r.gone()
}

// The backend's own flows are those of any member, also from the rule's port.
func TestMemberBehindARule(t *testing.T) {
	r := newRig(t)
	r.dial(nexthop.Outside, 1, 2)
	for _, src := range []string{"10.0.0.10:22", "10.0.0.10:2222", client} {
		v := r.pass(nexthop.Inside, syn(src, server))
		if !r.lease(client, indexTCP).owns(v.Src) {
			t.Errorf("%s leaves as %s, which is not the member's", src, v.Src)
		}
		back := packettest.TCP(packettest.Segment{Src: server, Dst: v.Src, Ack: 1001, Flags: packet.SYN | packet.ACK})
		if v := r.pass(nexthop.Outside, back); v.Dst != src {
			t.Errorf("the answer to %s reaches %s", src, v.Dst)
		}
	}
}

// Two clients behind one address, and one client again on the same port.
func TestInboundClients(t *testing.T) {
	r := newRig(t)
	for _, from := range []string{stranger, "192.0.2.66:6667", "192.0.2.67:6666"} {
		r.crosses(nexthop.Outside, syn(from, frontendSSH), func(v *packettest.View) { v.Dst = "10.0.0.10:22" })
	}
	if n := r.table.Len(); n != 3 {
		t.Errorf("%d flows, want 3", n)
	}
	r.pass(nexthop.Outside, syn(stranger, frontendSSH)) // a retransmission
	if n := r.table.Len(); n != 3 {
		t.Errorf("%d flows after a retransmission, want 3", n)
	}
}

// From the outside no packet can come from the inside, nor from the gateway's
// own addresses: the backend would answer somebody who never asked.
func TestInsideSourceFromTheOutside(t *testing.T) {
	r := newRig(t)
	r.hops.status[packettest.Addr("10.0.0.77")] = nexthop.Elsewhere
	for _, src := range []string{"10.0.0.10", "10.0.0.11", "10.0.0.77", "203.0.113.5", "203.0.113.6"} {
		r.expect(DropMartian, nexthop.Outside, syn(src+":1234", frontendSSH))
		r.expect(DropMartian, nexthop.Outside, ping(src, "203.0.113.6", 1))
		r.expect(DropMartian, nexthop.Outside, datagram(src+":1234", publicUDP))
	}
	r.expect(DropNotMember, nexthop.Inside, datagram("203.0.113.5:1234", server))
	r.silent()
	r.gone()
}
