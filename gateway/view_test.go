package gateway

import (
	"strings"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// newCrowd is a rig with room for n flows and their ports.
func newCrowd(t testing.TB, n int, change ...func(*Options)) *rig {
	return newRig(t, append([]func(*Options){func(o *Options) {
		out := egress()
		out.Ports = 31_992
		o.MaxFlows, o.Policy = n, newPolicy(t, out, ssh())
	}}, change...)...)
}

// crowdPacket is a datagram of the crowd's n-th endpoint.
func crowdPacket(n int) []byte {
	return datagram(endpoint([]string{"10.0.0.10", "10.0.0.11"}[n%2], uint16(1024+n/2)), server)
}

func TestFlow(t *testing.T) {
	r := newRig(t)
	p := r.dial(nexthop.Inside, 100, 200)
	p.talk(50)
	r.sleep(3 * time.Second)
	all := r.flows()
	if len(all) != 1 {
		t.Fatalf("%d flows are listed", len(all))
	}
	f := all[0]
	if f.Tuple[conntrack.Original] != packettest.Tuple(packet.TCP, client, server) || f.Tuple[conntrack.Reply] != packettest.Tuple(packet.TCP, server, p.b.remote) {
		t.Errorf("tuples %v", f.Tuple)
	}
	if f.State != conntrack.Established || f.Rule != ruleEgress || !f.Inside {
		t.Errorf("%+v", f)
	}
	if f.Packets != [2]uint64{4, 2} || f.MaxEnd != [2]uint32{151, 251} || f.MaxAck != [2]uint32{251, 151} {
		t.Errorf("%+v", f)
	}
	idle := time.Duration(r.Now() - f.LastSeen)
	if idle != 3*time.Second || time.Duration(f.ExpiresIn) != testIdle-idle {
		t.Errorf("idle for %v, expires in %v", idle, time.Duration(f.ExpiresIn))
	}
}

// TestFlowsWhileOthersComeAndGo reads pages of odd sizes while flows are made
// and ended between any two of them.
func TestFlowsWhileOthersComeAndGo(t *testing.T) {
	const many = 4 * slice
	r := newCrowd(t, 2*many)
	lasting := map[string]int{}
	for n := range many {
		r.expect(Forwarded, nexthop.Inside, crowdPacket(n))
		if n%3 != 0 {
			lasting[packettest.Fields(t, crowdPacket(n)).Src] = 0
		}
	}
	r.sent = [2][][]byte{}
	ids := map[conntrack.ID]bool{}
	passing, pages, next := many, 0, uint32(0)
	for {
		page := 0
		next = r.Flows(next, func(f *conntrack.Flow) bool {
			if ids[f.ID] {
				t.Fatalf("flow %x is listed twice", f.ID)
			}
			ids[f.ID] = true
			if _, ok := lasting[f.Tuple[0].Source().String()]; ok {
				lasting[f.Tuple[0].Source().String()]++
			}
			page++
			return page < 97
		})
		if next == 0 {
			break
		}
		pages++
		passing = r.churn(t, lasting, passing, pages)
	}
	for src, n := range lasting {
		if n != 1 {
			t.Errorf("%s, which lived all the time, is listed %d times", src, n)
		}
	}
	if pages < many/97 {
		t.Errorf("%d pages of 97", pages)
	}
}

// churn ends some flows that may end and begins as many.
func (r *rig) churn(t *testing.T, lasting map[string]int, at, round int) int {
	budget := 13
	_, err := r.Kill(func(f *conntrack.Flow) bool {
		if _, keep := lasting[f.Tuple[0].Source().String()]; keep || budget == 0 || int(f.Tuple[0].SrcPort)%7 != round%7 {
			return false
		}
		budget--
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 13 {
		r.expect(Forwarded, nexthop.Inside, crowdPacket(at))
		at++
	}
	return at
}

func TestFlowsFromAnywhere(t *testing.T) {
	r := newRig(t)
	list := func(cursor uint32) (n int) {
		if next := r.Flows(cursor, func(*conntrack.Flow) bool { n++; return true }); next != 0 {
			t.Errorf("after %d, the last flow, comes %d", cursor, next)
		}
		return n
	}
	if n := list(0); n != 0 {
		t.Errorf("%d flows of none", n)
	}
	r.fill("10.0.0.10", 3)
	for cursor, want := range map[uint32]int{0: 3, 2: 1, 3: 0, 4: 0, 1 << 20: 0, 1<<32 - 1: 0} {
		if n := list(cursor); n != want {
			t.Errorf("from %d on %d flows, want %d", cursor, n, want)
		}
	}
}

// A Snapshot is a copy.
func TestSnapshot(t *testing.T) {
	r := newRig(t)
	before := r.Snapshot()
	p := r.dial(nexthop.Inside, 1, 2)
	r.udp(client, server)
	s := r.Snapshot()
	if before.Flows != 0 || before.Counters.Created[ruleEgress][indexTCP] != 0 || before.Counters.Verdicts[Forwarded] != 0 || before.Leases[0].Opened != 0 {
		t.Errorf("the earlier snapshot changed: %+v", before)
	}
	if s.Flows != 2 || s.MaxFlows != 1024 || s.States[ruleEgress][indexTCP][conntrack.Established] != 1 || s.States[ruleEgress][indexUDP][conntrack.Active] != 1 {
		t.Errorf("%+v", s)
	}
	if l := r.lease(client, indexTCP); l.Opened != 1 || l.Blocks[0].Used != 1 || l.Blocks[0].Frontend != publicAddr || l.Rule != ruleEgress {
		t.Errorf("%+v", l)
	}
	if in, out := s.Counters.Traffic[0], s.Counters.Traffic[1]; in.PacketsIn != 3 || in.PacketsOut != 1 || out.PacketsIn != 1 || out.PacketsOut != 3 || in.BytesIn != out.BytesOut {
		t.Errorf("inside %+v, outside %+v", in, out)
	}
	p.expire()
	if n := r.Snapshot().Counters.Traffic; n[0].PacketsOut != 2 || n[1].PacketsOut != 4 {
		t.Errorf("with the resets %+v", n)
	}
	if got := r.Rules(); len(got) != 2 || got[0].Name != "egress" || got[1].Type != InboundNATRule {
		t.Errorf("rules %+v", got)
	}
}

func TestNewRefusesAnImpossibleTable(t *testing.T) {
	_, err := New(Options{MaxFlows: 0, Policy: &nat.Policy{}, Now: func() int64 { return 0 }})
	if err == nil || !strings.HasPrefix(err.Error(), "gateway: ") {
		t.Errorf("error %v", err)
	}
}

func TestResetReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range numResetReasons {
		if seen[r.String()] || r.String() == "" {
			t.Errorf("reason %d is %q", r, r)
		}
		seen[r.String()] = true
	}
}
