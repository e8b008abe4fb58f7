package gateway

import (
	"testing"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

func everything(*conntrack.Flow) bool { return true }

func TestKillResetsWhatIsEstablished(t *testing.T) {
	for _, reset := range []bool{true, false} { // an operator's word stands whatever the rule says
		sides(t, func(t *testing.T, from nexthop.Side) {
			r := newRig(t, func(o *Options) { o.Rules[ruleEgress].Reset, o.Rules[ruleSSH].Reset = reset, reset })
			p := r.dial(from, 0xffffff00, 7)
			p.talk(600)
			if n, err := r.Kill(everything); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			p.deliver()
			p.reset(t, 1, 1)
			p.asks(t, p.a, p.a.segment(packet.ACK, "")) // it leaves a tombstone too
			rule := map[nexthop.Side]int{nexthop.Inside: ruleEgress, nexthop.Outside: ruleSSH}[from]
			s := r.Snapshot().Counters
			if s.Resets[rule][ResetKilled] != [2]uint64{1, 1} || s.Closed[rule][indexTCP][conntrack.Killed] != 1 {
				t.Errorf("counted %v resets and %v ends", s.Resets[rule], s.Closed[rule][indexTCP])
			}
		})
	}
}

func TestKillIsSilentOtherwise(t *testing.T) {
	r := newRig(t)
	r.udp(client, server)
	r.ping("10.0.0.10", serverHost, 3)
	r.started(nexthop.Inside)
	r.started(nexthop.Outside)
	half := &pair{r: r, a: &end{local: otherClient, remote: server}, b: &end{side: nexthop.Outside, local: server}}
	half.handshake()
	half.hangUp(half.a)
	if n, err := r.Kill(everything); n != 5 || err != nil {
		t.Errorf("killed %d flows, want 5: %v", n, err)
	}
	r.silent()
	r.gone()
	if n := r.Snapshot().Counters.Closed[ruleEgress]; n[indexTCP][conntrack.Killed] != 2 || n[indexUDP][conntrack.Killed] != 1 || n[indexICMP][conntrack.Killed] != 1 {
		t.Errorf("counted %v", n)
	}
}

func TestKillTakesWhatMatchesOnly(t *testing.T) {
	r := newRig(t)
	doomed := r.dial(nexthop.Inside, 1, 2)
	spared := &pair{r: r, a: &end{local: otherClient, remote: server}, b: &end{side: nexthop.Outside, local: server}}
	spared.handshake()
	inbound := r.dial(nexthop.Outside, 1, 2)
	n, err := r.Kill(func(f *conntrack.Flow) bool { return f.Tuple[conntrack.Original].Source().String() == client })
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	doomed.deliver()
	if !doomed.a.closed || !doomed.b.closed {
		t.Error("the flow that matches was not reset")
	}
	r.silent()
	spared.talk(100)
	inbound.talk(100)
	if n, err := r.Kill(func(*conntrack.Flow) bool { return false }); n != 0 || err != nil {
		t.Errorf("killed %d flows that don't match: %v", n, err)
	}
	r.expect(Reset, nexthop.Inside, packettest.TCP(doomed.a.segment(packet.ACK, "x")))
}

// More flows than one hold of the lock looks at.
func TestKillMany(t *testing.T) {
	const many = 3*slice + 7
	r := newCrowd(t, many)
	for n := range many {
		r.expect(Forwarded, nexthop.Inside, crowdPacket(n))
	}
	r.sent = [2][][]byte{}
	even := 0
	n, err := r.Kill(func(f *conntrack.Flow) bool {
		if f.Tuple[0].SrcPort%2 == 0 {
			even++
			return true
		}
		return false
	})
	if err != nil || n != even || n < many/2 || r.table.Len() != many-n {
		t.Errorf("killed %d of %d flows, %d match, %d live: %v", n, many, even, r.table.Len(), err)
	}
	r.silent()
}
