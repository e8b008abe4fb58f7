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

// A frontend whose rules take every port that hairpin flows could have refuses
// them, and says so: the lease without ports has no first one to name.
func TestHairpinWithoutPorts(t *testing.T) {
	r := newSite(t, oneBackend, func(s *siteOptions) {
		for port := nat.FirstHairpinPort; port <= nat.LastHairpinPort; port++ {
			s.rules.Reserved = append(s.rules.Reserved, nat.Endpoint{Addr: packettest.Addr("203.0.113.6"), Port: uint16(port)})
		}
	})
	r.health(true, "10.0.0.10")
	r.expect(DropExhausted, nexthop.Inside, syn(ruleless, webFrontend))
	r.take(nexthop.Inside)
	r.control.reportExhaustion()
}

// HA ports on an internal frontend never reset, whatever ends the flow.
func TestSilentRule(t *testing.T) {
	for _, end := range []func(*rig){
		func(r *rig) { r.sleep(testIdle * 51 / 50) },
		func(r *rig) {
			if n, err := r.Kill(func(*conntrack.Flow) bool { return true }); n != 1 || err != nil {
				r.t.Errorf("%d killed, %v", n, err)
			}
		},
		func(r *rig) {
			r.SetBackends("vms", nil)
			r.sleep(drainPeriod + time.Second)
		},
	} {
		r := newSite(t, oneBackend, func(s *siteOptions) {
			s.pool.Drain = drainPeriod
			s.Rules[ruleAny].Silent = true
		})
		r.health(true, "10.0.0.10")
		p := r.meet(nexthop.Inside, insideClient, "10.0.0.4:9999")
		p.talk(10)
		end(r)
		r.silent()
		r.gone()
	}
}

// A connection to one rule that is over and held does not keep the client from
// another that leads to the same backend by the same port.
func TestSpentInboundFlowMakesWay(t *testing.T) {
	r := newRig(t, func(o *Options) {
		second := ssh()
		second.Frontend.Addr = secondAddr
		o.Policy = newPolicy(t, egress(), ssh(), second)
	})
	p := r.dial(nexthop.Outside, 1, 2)
	p.forward(p.b, p.b.segment(packet.RST|packet.ACK, ""))
	if s := r.flows()[0].State; s != conntrack.Closed {
		t.Fatalf("the flow is %v", s)
	}
	r.expect(Forwarded, nexthop.Outside, syn(p.a.local, "203.0.113.6:2222"))
	if flows := r.flows(); len(flows) != 1 || flows[0].Tuple[0].Dst != secondAddr {
		t.Errorf("the flows are %+v", flows)
	}
}
