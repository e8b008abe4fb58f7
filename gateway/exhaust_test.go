package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// tcpPort is the member's n-th client endpoint.
func tcpPort(n int) string { return endpoint("10.0.0.10", uint16(20000+n)) }

// use takes every port that the member has towards dst, each by a SYN.
func (r *rig) use(dst string) (taken map[string]string) {
	r.t.Helper()
	taken = map[string]string{}
	for n := range memberPorts {
		v := r.pass(nexthop.Inside, syn(tcpPort(n), dst))
		if other, ok := taken[v.Src]; ok {
			r.t.Fatalf("%s leaves towards %s as %s, and so does %s", tcpPort(n), dst, v.Src, other)
		}
		taken[v.Src] = tcpPort(n)
	}
	return taken
}

func TestTCPPortsAreReusedPerDestination(t *testing.T) {
	r := newRig(t)
	first, second, third := r.use(server), r.use(secondServer), r.use("198.51.100.7:444")
	for _, other := range []map[string]string{second, third} {
		if diff := cmp.Diff(keys(first), keys(other)); diff != "" {
			t.Errorf("other ports towards another destination:\n%s", diff)
		}
	}
	for external := range first {
		if !r.lease(client, indexTCP).owns(external) {
			t.Errorf("%s is not the member's", external)
		}
	}
	answer := func(from, to string) packettest.View {
		return r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: from, Dst: to, Seq: 5, Ack: 1001, Flags: packet.SYN | packet.ACK}))
	}
	for external, internal := range first {
		if v := answer(server, external); v.Dst != internal {
			t.Errorf("an answer to %s reaches %s, want %s", external, v.Dst, internal)
		}
		if v := answer(secondServer, external); v.Dst != second[external] {
			t.Errorf("an answer to %s reaches %s, want %s", external, v.Dst, second[external])
		}
	}
	r.expect(DropExhausted, nexthop.Inside, syn(client, server))
}

func keys(m map[string]string) map[string]bool {
	set := map[string]bool{}
	for k := range m {
		set[k] = true
	}
	return set
}

func TestExhaustedTCPIsReset(t *testing.T) {
	r := newRig(t)
	r.use(server)
	r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	got := r.one(nexthop.Inside)
	want := packettest.View{
		Src: server, Dst: client, Proto: packet.TCP, TTL: 64, DF: true, ID: got.ID,
		Ack: 1001, Flags: packet.RST | packet.ACK,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s := r.Snapshot()
	if n := s.Counters.Resets[ruleEgress][ResetExhausted]; n != [2]uint64{1, 0} {
		t.Errorf("resets are counted %v for client and server", n)
	}
	if l := r.lease(client, indexTCP); l.Failed != 1 || l.Opened != memberPorts {
		t.Errorf("counted %d failed and %d opened", l.Failed, l.Opened)
	}
	r.pass(nexthop.Inside, syn(otherClient, server)) // the other member has its own
	r.pass(nexthop.Inside, syn(client, secondServer))
}

func TestExhaustedWithoutResetIsAnError(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Rules[ruleEgress].Reset = false })
	r.use(server)
	lost := syn(client, server)
	r.expect(DropExhausted, nexthop.Inside, lost)
	r.wantError(nexthop.Inside, insideAddr.String(), 3, 13, 0, lost)
}

func TestExhaustedResetsAreLimited(t *testing.T) {
	r := newRig(t)
	r.use(server)
	r.resetLimit = newLimit(10, 3)
	for range 9 {
		r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	}
	if n := len(r.take(nexthop.Inside)); n != 3 {
		t.Errorf("%d resets, want the burst of 3", n)
	}
	if n := r.Snapshot().Counters.Resets[ruleEgress][ResetExhausted][0]; n != 3 {
		t.Errorf("%d resets are counted, 3 were sent", n)
	}
}

func TestRecoveryAfterRelease(t *testing.T) {
	r := newRig(t)
	r.use(server)
	r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	r.take(nexthop.Inside)
	if n, err := r.Kill(func(f *conntrack.Flow) bool { return f.Tuple[0].Source().String() == tcpPort(3) }); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.sleep(50 * time.Millisecond) // the failed search is believed for a moment
	r.pass(nexthop.Inside, syn(client, server))
	r.expect(DropExhausted, nexthop.Inside, syn(tcpPort(3), server))
	r.take(nexthop.Inside)
	r.sleep(31 * time.Second) // half-open flows give up
	r.gone()
	r.use(server)
}

// closing brings the member's n-th flow with the server to TIME_WAIT. The
// highest sequence number of its client is 1003.
func (r *rig) closing(n int, external string) {
	r.t.Helper()
	out := packettest.Segment{Src: tcpPort(n), Dst: server, Seq: 1001, Ack: 51, Flags: packet.ACK}
	in := packettest.Segment{Src: server, Dst: external, Seq: 50, Ack: 1001, Flags: packet.SYN | packet.ACK}
	r.pass(nexthop.Outside, packettest.TCP(in))
	r.pass(nexthop.Inside, packettest.TCP(out))
	out.Flags, out.Payload = packet.FIN|packet.ACK, "q"
	r.pass(nexthop.Inside, packettest.TCP(out))
	in.Seq, in.Ack, in.Flags = 51, 1003, packet.FIN|packet.ACK
	r.pass(nexthop.Outside, packettest.TCP(in))
	out.Seq, out.Ack, out.Flags, out.Payload = 1003, 52, packet.ACK, ""
	r.pass(nexthop.Inside, packettest.TCP(out))
}

func TestTimeWaitMakesWayForANewerSYN(t *testing.T) {
	r := newRig(t)
	taken := r.use(server)
	wanted := ""
	for external, internal := range taken {
		if internal == tcpPort(5) {
			wanted = external
		}
	}
	r.closing(5, wanted)
	older := packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: 1002, Flags: packet.SYN})
	r.expect(DropExhausted, nexthop.Inside, older)
	r.take(nexthop.Inside)
	r.sleep(50 * time.Millisecond)
	newer := packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: 1004, Flags: packet.SYN})
	if v := r.pass(nexthop.Inside, newer); v.Src != wanted {
		t.Errorf("it leaves as %s, want the port of the flow in TIME_WAIT, %s", v.Src, wanted)
	}
	v := r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: server, Dst: wanted, Seq: 9, Ack: 1005, Flags: packet.SYN | packet.ACK}))
	if v.Dst != client {
		t.Errorf("the answer reaches %s, want %s", v.Dst, client)
	}
	if n := r.Snapshot().Counters.Closed[ruleEgress][indexTCP]; n != [conntrack.NumReasons]uint64{conntrack.Fin: 1} {
		t.Errorf("ends are counted %v, want one by FIN", n)
	}
}

func TestClosedMakesWayForASYN(t *testing.T) {
	r := newRig(t)
	taken := r.use(server)
	for external, internal := range taken {
		if internal == tcpPort(5) {
			r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: server, Dst: external, Ack: 1001, Flags: packet.RST | packet.ACK}))
		}
	}
	r.pass(nexthop.Inside, syn(client, server))
	if n := r.Snapshot().Counters.Closed[ruleEgress][indexTCP]; n != [conntrack.NumReasons]uint64{conntrack.Rst: 1} {
		t.Errorf("ends are counted %v, want one by RST", n)
	}
}

// A port that is free is taken before a flow on hold loses its own.
func TestHeldFlowsKeepTheirPortsWhileOthersAreFree(t *testing.T) {
	r := newRig(t)
	first := r.pass(nexthop.Inside, syn(tcpPort(0), server)).Src
	r.closing(0, first)
	for n := 1; n < memberPorts; n++ {
		if v := r.pass(nexthop.Inside, syn(tcpPort(n), server)); v.Src == first {
			t.Fatalf("after %d flows the held port is taken", n)
		}
	}
	if v := r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: 5000, Flags: packet.SYN})); v.Src != first {
		t.Errorf("the last leaves as %s, want %s", v.Src, first)
	}
}

// A member whose ports are spread over frontends uses up the first one's first.
func TestPortsOfTwoFrontends(t *testing.T) {
	r := newRig(t, func(o *Options) {
		out := egress()
		out.Frontends, out.Ports = []packet.Addr{publicAddr, secondAddr}, 63_984 // leaves the second member a block of the first frontend
		o.Policy = newPolicy(t, out, ssh())
	})
	var used []string
	for n := range nat.BlockSize + 2 {
		v := r.pass(nexthop.Inside, syn(endpoint("10.0.0.11", uint16(1+n)), server))
		used = append(used, hostOf(v.Src))
	}
	want := append(slices.Repeat([]string{"203.0.113.5"}, nat.BlockSize), "203.0.113.6", "203.0.113.6")
	if diff := cmp.Diff(want, used); diff != "" {
		t.Error(diff)
	}
}

func TestBlockOfARulePortIsNotGivenOut(t *testing.T) {
	r := newRig(t, func(o *Options) {
		out := egress()
		out.Ports = 31_992 // twice that and a block are all
		o.Policy = newPolicy(t, out, ssh())
	})
	for _, l := range r.Snapshot().Leases {
		for port := uint16(2216); port < 2216+nat.BlockSize; port++ {
			if l.owns(endpoint("203.0.113.5", port)) {
				t.Errorf("%v owns port %d, which is in the block of the rule's", l.Member, port)
			}
		}
	}
}
