package gateway

import (
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// started is a flow of which only the first SYN has passed.
func (r *rig) started(from nexthop.Side) *pair {
	p := &pair{r: r, a: &end{side: nexthop.Inside, local: client, remote: server}, b: &end{side: nexthop.Outside, local: server}}
	if from == nexthop.Outside {
		p.a = &end{side: nexthop.Outside, local: stranger, remote: "203.0.113.5:2222"}
		p.b = &end{side: nexthop.Inside, local: "10.0.0.10:22"}
	}
	v := p.forward(p.a, packettest.Segment{Src: p.a.local, Dst: p.a.remote, Seq: p.a.next, Flags: packet.SYN, Options: wide})
	p.b.remote, p.b.want = v.Src, v.Seq+1
	p.a.next++
	return p
}

// TestSilentEnds goes through every state in which a flow is given up without a
// word, and for how long it is kept.
func TestSilentEnds(t *testing.T) {
	established := func(r *rig, from nexthop.Side) *pair { return r.dial(from, 1, 2) }
	for _, c := range []struct {
		name  string
		make  func(r *rig, from nexthop.Side) *pair
		state conntrack.State
		life  time.Duration
		why   conntrack.Reason
	}{
		{"SYN", (*rig).started, conntrack.SynSent, 30 * time.Second, conntrack.HalfOpen},
		{"SYN answered", func(r *rig, from nexthop.Side) *pair {
			p := r.started(from)
			p.forward(p.b, p.b.segment(packet.SYN|packet.ACK, ""))
			return p
		}, conntrack.SynReceived, 30 * time.Second, conntrack.HalfOpen},
		{"half closed by the client", func(r *rig, from nexthop.Side) *pair {
			p := established(r, from)
			p.hangUp(p.a)
			p.ack(p.b)
			return p
		}, conntrack.FinWait, testIdle, conntrack.Idle},
		{"half closed by the server", func(r *rig, from nexthop.Side) *pair {
			p := established(r, from)
			p.hangUp(p.b)
			return p
		}, conntrack.FinWait, testIdle, conntrack.Idle},
		{"closed by both", func(r *rig, from nexthop.Side) *pair {
			p := established(r, from)
			p.hangUp(p.a)
			p.hangUp(p.b)
			p.ack(p.a)
			return p
		}, conntrack.TimeWait, 65 * time.Second, conntrack.Fin},
		{"reset by the client", func(r *rig, from nexthop.Side) *pair {
			p := established(r, from)
			p.forward(p.a, p.a.segment(packet.RST|packet.ACK, ""))
			return p
		}, conntrack.Closed, 16 * time.Second, conntrack.Rst},
		{"refused", func(r *rig, from nexthop.Side) *pair {
			p := r.started(from)
			p.forward(p.b, p.b.segment(packet.RST|packet.ACK, ""))
			return p
		}, conntrack.Closed, 16 * time.Second, conntrack.Rst},
	} {
		for _, from := range []nexthop.Side{nexthop.Inside, nexthop.Outside} {
			t.Run(c.name+"/from "+from.String(), func(t *testing.T) {
				r := newRig(t, lateOff)
				p := c.make(r, from)
				if s := r.flows()[0].State; s != c.state {
					t.Fatalf("the flow is %v, want %v", s, c.state)
				}
				r.sleep(c.life)
				if r.table.Len() != 1 {
					t.Errorf("the flow is gone before %v", c.life)
				}
				r.sleep(max(time.Second, c.life/50))
				r.silent()
				r.gone()
				rule := map[nexthop.Side]int{nexthop.Inside: ruleEgress, nexthop.Outside: ruleSSH}[from]
				if n := r.Snapshot().Counters.Closed[rule][indexTCP][c.why]; n != 1 {
					t.Errorf("%d ends are counted as %v", n, c.why)
				}
				r.expect(DropNoFlow, p.a.side, packettest.TCP(p.a.segment(packet.ACK, "too late")))
				r.silent()
			})
		}
	}
}

func TestNoResetUnlessTheRuleSaysSo(t *testing.T) {
	for _, from := range []nexthop.Side{nexthop.Inside, nexthop.Outside} {
		r := newRig(t, lateOff, func(o *Options) { o.Rules[ruleEgress].Reset, o.Rules[ruleSSH].Reset = false, false })
		p := r.dial(from, 1, 2)
		p.talk(100)
		r.sleep(testIdle * 51 / 50)
		r.silent()
		r.gone()
		for _, e := range []*end{p.a, p.b} {
			r.expect(DropNoFlow, e.side, packettest.TCP(e.segment(packet.ACK, "too late")))
		}
		r.silent()
	}
}

// The rules of both directions keep to their own timeout and their own word.
func TestEachRuleHasItsOwnEnd(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Rules[ruleEgress] = Rule{Name: "egress", Idle: time.Minute}
		o.Rules[ruleSSH] = Rule{Name: "ssh", Idle: 2 * time.Minute, Reset: true}
	})
	r.dial(nexthop.Inside, 1, 2)
	inbound := r.dial(nexthop.Outside, 3, 4)
	r.sleep(62 * time.Second)
	r.silent()
	if n := r.table.Len(); n != 1 {
		t.Fatalf("%d flows live after a minute, want the inbound one", n)
	}
	r.sleep(62 * time.Second)
	inbound.deliver()
	inbound.reset(t, 1, 1)
}

// Expiry lies between the timeout and the timeout + max(1 s, 2 %).
func TestExpiryIsOnTime(t *testing.T) {
	for _, idle := range []time.Duration{time.Second, 1500 * time.Millisecond, 10 * time.Second, testIdle, 100 * time.Minute} {
		for _, phase := range []time.Duration{0, 1, 999_999, 63_999_999, 64_000_001, 777 * time.Millisecond} {
			r := newRig(t, func(o *Options) { o.Rules[ruleEgress].Idle = idle })
			r.clock += int64(phase)
			p := r.dial(nexthop.Inside, 1, 2)
			r.clock += int64(idle / 3)
			p.talk(10)
			last := r.clock
			r.clock += int64(idle) - int64(2*time.Millisecond)
			for len(r.sent[nexthop.Inside]) == 0 && r.clock < last+2*int64(idle) {
				r.sleep(500 * time.Microsecond)
			}
			late := time.Duration(r.clock - last - int64(idle))
			if late < 0 || late > max(time.Second, idle/50) {
				t.Errorf("timeout %v, phase %v: %v late", idle, phase, late)
			}
			p.deliver()
			p.reset(t, 1, 1)
		}
	}
}
