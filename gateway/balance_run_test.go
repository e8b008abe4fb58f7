package gateway

import (
	"sync"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// TestBalanceWhileRunning has probes, operators and viewers all at it while packets
// flow. What they agree on in the end is what the next packets find.
func TestBalanceWhileRunning(t *testing.T) {
	var plan Change
	w := newWorld(t, func(o *Options) {
		s := siteChange(t, o, []func(*siteOptions){func(s *siteOptions) { s.pool.Drain = time.Millisecond }})
		plan = s.plan()
	})
	setBackends := func(backends []nat.Backend) {
		plan = plan.withBackends("vms", backends)
		replace(t, w.Gateway, plan)
	}
	var all sync.WaitGroup
	often := func(f func(i uint32)) {
		all.Go(func() {
			for i := range uint32(300) {
				f(i)
			}
		})
	}
	often(func(i uint32) {
		w.inject(nexthop.Outside, syn(endpoint("192.0.2.66", uint16(i)), webFrontend))
		w.inject(nexthop.Outside, datagram(packet.Addr(0xc0000201+i).String()+":1", dnsFrontend))
		w.inject(nexthop.Inside, datagram(insideClient, endpoint("10.0.0.4", uint16(i))))
	})
	often(func(i uint32) { w.SetHealth("http", memberAddr+packet.Addr(i&1), i&6 != 0) })
	often(func(i uint32) { setBackends(bothBackends[i%3:]) })
	often(func(i uint32) {
		w.Explain(packettest.Tuple(packet.UDP, stranger, dnsFrontend), nexthop.Outside)
		w.Explain(packettest.Tuple(packet.TCP, insideClient, "10.0.0.4:443"), nexthop.Inside)
		w.SideOf(packettest.Tuple(packet.TCP, stranger, webFrontend))
	})
	often(func(uint32) { w.Backends(); w.Snapshot() })
	all.Wait()

	setBackends([]nat.Backend{{Addr: memberAddr}, {Addr: otherMember, Admin: nat.AdminDown}})
	w.SetHealth("http", memberAddr, true)
	for deadline := time.Now().Add(10 * time.Second); w.takes(otherMember) || !w.takes(memberAddr); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("flows go to a backend that is set down, or to none")
		}
	}
	w.end()
}

// takes says whether a backend has UDP flows, or would get a new one.
func (w *world) takes(backend packet.Addr) (takes bool) {
	w.Flows(0, func(f *conntrack.Flow) bool {
		takes = takes || f.Tuple[0].Proto == packet.UDP && f.Inbound() && f.Backend() == backend
		return true
	})
	for port := range uint16(20) {
		takes = takes || w.Explain(packettest.Tuple(packet.TCP, endpoint("192.0.2.99", port), webFrontend), nexthop.Outside).Chosen == backend
	}
	return takes
}
