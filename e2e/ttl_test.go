package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
)

// The gateway is a hop: it takes one off the TTL. With tun the kernel is one, too.
func TestTTLIsDecremented(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		hops := map[string]uint8{"packet": 1, "tun": 2}[r.datapath]
		r.connect(r.Hosts[0], r.Servers[0])
		r.wantTTL(r.outside, r.Servers[0].Addr, 64-hops)
		r.connectInbound()
		r.wantTTL(r.inside, r.Hosts[0].Addr, 64-1-hops) // the router is a hop before
	})
}

// wantTTL checks the first TCP packet from the gateway to dst.
func (r *rig) wantTTL(wire *lab.Capture, dst netip.Addr, want uint8) {
	r.Helper()
	for _, p := range fromGateway(wire) {
		if p.TCP() != nil && destination(p).Addr() == dst {
			if p.IPv4().TTL != want {
				r.Errorf("a packet to %v has TTL %d, want %d", dst, p.IPv4().TTL, want)
			}
			return
		}
	}
	r.Errorf("no packet to %v", dst)
}

// It tells of the packet that it kills, as its own address on that side.
func TestTTLExceeded(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		out := must(h1.Run(r.within(5*time.Second), "sh", "-c", "ping -n -c 1 -W 2 -t 1 "+s1.Addr.String()+" || true"))(r)
		if !strings.Contains(string(out), "From 10.0.0.1 icmp_seq=1 Time to live exceeded") {
			r.Errorf("ping with TTL 1:\n%s", out)
		}
		r.sendSYN(s1, 2) // one for the router
		exceeded, err := r.outside.Wait(r.within(2*time.Second), func(p lab.Packet) bool {
			return !p.Outgoing && p.ICMP() != nil && p.ICMP().TypeCode.Type() == layers.ICMPv4TypeTimeExceeded
		})
		r.check(err)
		r.wantValid(exceeded)
		if from, to := endpoints(exceeded); from.Addr().String() != "203.0.113.1" || to.Addr() != s1.Addr {
			r.Errorf("time exceeded from %v to %v", from.Addr(), to.Addr())
		}
	})
}

// sendSYN knocks at the inbound rule's port with a TTL.
func (r *rig) sendSYN(from *lab.Host, ttl uint8) {
	r.Helper()
	to := netip.MustParseAddrPort(frontend + ":" + inboundPort)
	ip := &layers.IPv4{
		Version: 4, TTL: ttl, Protocol: layers.IPProtocolTCP,
		SrcIP: from.Addr.AsSlice(), DstIP: to.Addr().AsSlice(),
	}
	syn := &layers.TCP{SrcPort: 40000, DstPort: layers.TCPPort(to.Port()), SYN: true, Window: 64240}
	r.check(syn.SetNetworkLayerForChecksum(ip))
	r.check(from.Inject("eth0", must(from.Frame("eth0", to.Addr(), ip, syn))(r)))
}
