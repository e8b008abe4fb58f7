package gateway

import (
	"testing"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// TestDisplaced: a client whose SYN nobody answers, or who begins anew, is not held
// to a backend that takes no new flows any more.
func TestDisplaced(t *testing.T) {
	again := func(p *pair) []byte { return syn(p.a.local, p.a.remote) }
	for _, c := range []struct {
		name   string
		rule   int
		before func(r *rig, src string) *pair
		moves  bool
	}{
		{"SYN without answer", ruleWeb, func(r *rig, src string) *pair {
			r.pass(nexthop.Outside, syn(src, webFrontend))
			return &pair{r: r, a: &end{side: nexthop.Outside, local: src, remote: webFrontend}}
		}, true},
		{"SYN answered", ruleWeb, func(r *rig, src string) *pair {
			v := r.pass(nexthop.Outside, syn(src, webFrontend))
			r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: v.Dst, Dst: src, Seq: 5, Ack: 1001, Flags: packet.SYN | packet.ACK}))
			return &pair{r: r, a: &end{side: nexthop.Outside, local: src, remote: webFrontend}}
		}, false},
		{"open", ruleWeb, func(r *rig, src string) *pair { return r.meet(nexthop.Outside, src, webFrontend) }, false},
		{"half closed", ruleWeb, func(r *rig, src string) *pair {
			p := r.meet(nexthop.Outside, src, webFrontend)
			p.hangUp(p.a)
			return p
		}, false},
		{"closed", ruleWeb, func(r *rig, src string) *pair {
			p := r.meet(nexthop.Outside, src, webFrontend)
			p.hangUp(p.a)
			p.hangUp(p.b)
			return p
		}, true},
		{"reset", ruleWeb, func(r *rig, src string) *pair {
			p := r.meet(nexthop.Outside, src, webFrontend)
			p.forward(p.b, p.b.segment(packet.RST|packet.ACK, ""))
			return p
		}, true},
	} {
		for _, down := range []bool{true, false} {
			r := newSite(t)
			p := c.before(r, r.clientOf("10.0.0.10", webFrontend))
			if down {
				r.health(false, "10.0.0.10")
			}
			want := "10.0.0.10:8443"
			if c.moves && down {
				want = "10.0.0.11:8443"
			}
			if v := r.pass(nexthop.Outside, again(p)); v.Dst != want {
				t.Errorf("%s, down %t: another SYN goes to %s", c.name, down, v.Dst)
			}
			ended := map[bool]uint64{true: 1}[c.moves && down]
			if n := r.closed(c.rule, indexTCP, conntrack.BackendDown); n != ended || r.table.Len() != 1 {
				t.Errorf("%s, down %t: %d flows ended, %d live", c.name, down, n, r.table.Len())
			}
			r.accounts()
		}
	}
}

// TestDisplacedByNone: with all of them down there is nobody to go to.
func TestDisplacedByNone(t *testing.T) {
	r := newSite(t)
	r.pass(nexthop.Outside, syn(stranger, webFrontend))
	r.health(false, "10.0.0.10", "10.0.0.11")
	r.expect(DropNoBackend, nexthop.Outside, syn(stranger, webFrontend))
	r.silent()
	r.gone()
}

// TestDisplacedInside: a hairpin flow gives its port back, and a floating one has
// its frames go elsewhere.
func TestDisplacedInside(t *testing.T) {
	r := newSite(t)
	r.turned = true
	first := r.pass(nexthop.Inside, syn(insideClient, "10.0.0.4:443"))
	r.health(false, hostOf(first.Dst))
	if v := r.pass(nexthop.Inside, syn(insideClient, "10.0.0.4:443")); v.Dst == first.Dst {
		t.Errorf("it still goes to %s", v.Dst)
	}
	r.accounts()

	r = newSite(t)
	src := r.clientOf("10.0.0.10", directFrontend)
	r.pass(nexthop.Outside, syn(src, directFrontend))
	r.health(false, "10.0.0.10")
	ways := r.trace()
	r.pass(nexthop.Outside, syn(src, directFrontend))
	if got := last(ways); got != (way{otherMember, nexthop.Inside}) {
		t.Errorf("it went towards %+v", got)
	}
}

// TestNotDisplaced: flows of rules without a choice, and segments that begin
// nothing, stay where they are.
func TestNotDisplaced(t *testing.T) {
	r := newSite(t)
	r.pass(nexthop.Outside, syn(stranger, frontendSSH))
	r.pass(nexthop.Inside, syn(client, server))
	src := r.clientOf("10.0.0.10", webFrontend)
	r.pass(nexthop.Outside, syn(src, webFrontend))
	r.health(false, "10.0.0.10", "10.0.0.11")
	r.pass(nexthop.Outside, syn(stranger, frontendSSH))
	r.pass(nexthop.Inside, syn(client, server))
	for _, flags := range []uint8{packet.ACK, packet.SYN | packet.ACK, packet.SYN | packet.RST, packet.SYN | packet.FIN, packet.RST} {
		v := r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: src, Dst: webFrontend, Seq: 1001, Flags: flags}))
		if v.Dst != "10.0.0.10:8443" {
			t.Errorf("flags %#x go to %s", flags, v.Dst)
		}
	}
	if n := r.table.Len(); n != 3 {
		t.Errorf("%d flows live, want 3", n)
	}
}
