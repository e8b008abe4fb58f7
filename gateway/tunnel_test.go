package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/packetio"
)

// poolless is a rule to a backend that is in no pool.
var poolless = nat.InboundRule{
	Rule: ruleSSH, Name: "ssh", Protocol: packet.TCP,
	Frontend: nat.Endpoint{Addr: publicAddr, Port: 2222}, Backend: nat.Endpoint{Addr: packettest.Addr("10.0.0.53"), Port: 22},
}

// newTunnelRig is a rig on one TUN device: frames are IP packets, and nothing
// but their addresses says where they come from. What is "sent from" a side is
// what the kernel would route into the device there.
func newTunnelRig(t testing.TB, in nat.InboundRule, change ...func(*Options)) *rig {
	tunnel := func(o *Options) {
		p := Port{Router: tunnelRouter(1500), Tunnel: true}
		for side, w := range o.Control.Writers {
			w := w.(testWriter)
			w.layout = packetio.Layout{}
			p.Writers[side] = w
		}
		o.Control, o.Workers = p, []Port{p}
		o.Policy = newPolicy(t, egress(), in)
	}
	r := newRig(t, append([]func(*Options){tunnel}, change...)...)
	r.ports[nexthop.Outside] = r.ports[nexthop.Inside]
	return r
}

func TestTunnel(t *testing.T) {
	r := newTunnelRig(t, ssh())
	public := r.udp(client, server)
	r.crosses(nexthop.Outside, datagram(server, public), func(v *packettest.View) { v.Dst = client })
	ident := r.ping("10.0.0.10", serverHost, 9)
	r.crosses(nexthop.Outside, pong(serverHost, "203.0.113.5", ident), func(v *packettest.View) { v.Dst, v.Ident = "10.0.0.10", 9 })
	traffic := r.Snapshot().Counters.Traffic
	for side := range traffic {
		if traffic[side].PacketsIn != 2 || traffic[side].PacketsOut != 2 || traffic[side].BytesIn != traffic[side].BytesOut {
			t.Errorf("counted %v: %+v, want two packets each way", nexthop.Side(side), traffic[side])
		}
	}
}

func TestTunnelLeavesTheTTL(t *testing.T) {
	for _, ttl := range []uint8{1, 64, 255} {
		r := newTunnelRig(t, ssh())
		b := edited(datagram(client, server), func(b []byte) { b[8] = ttl })
		if v := r.pass(nexthop.Inside, b); v.TTL != ttl {
			t.Errorf("TTL %d became %d", ttl, v.TTL)
		}
		back := edited(datagram(server, r.external(client)), func(b []byte) { b[8] = ttl })
		if ttl == 1 { // the kernel would complain outside, and quote the packet as it is inside
			r.expect(DropTTL, nexthop.Outside, back)
			r.wantError(nexthop.Outside, hostOf(r.external(client)), 11, 0, 0, back)
			continue
		}
		if v := r.pass(nexthop.Outside, back); v.TTL != ttl {
			t.Errorf("TTL %d became %d", ttl, v.TTL)
		}
	}
}

func TestTunnelConnections(t *testing.T) {
	for name, in := range map[string]nat.InboundRule{"backend in the pool": ssh(), "backend in no pool": poolless} {
		sides(t, func(t *testing.T, from nexthop.Side) {
			r := newTunnelRig(t, in)
			p := &pair{r: r, a: &end{local: client, remote: server, next: 7}, b: &end{side: nexthop.Outside, local: server, next: 8}}
			if from == nexthop.Outside {
				p.a = &end{side: nexthop.Outside, local: stranger, remote: frontendSSH, next: 7}
				p.b = &end{local: in.Backend.Addr.String() + ":22", next: 8}
			}
			p.handshake()
			p.talk(500)
			p.expire()
			if p.a.resets != 1 || p.b.resets != 1 || !p.a.closed || !p.b.closed {
				t.Errorf("%s: the ends got %d and %d RSTs; closed: %t, %t", name, p.a.resets, p.b.resets, p.a.closed, p.b.closed)
			}
			p.b.closed, p.a.closed = false, false
			p.asks(t, p.a, p.a.segment(packet.ACK, ""))
			p.asks(t, p.b, p.b.segment(packet.ACK, "data"))
			r.sleep(31 * time.Second)
			r.silent()
		})
	}
}

func TestTunnelRefuses(t *testing.T) {
	for _, c := range []struct {
		want Verdict
		b    []byte
	}{
		{DropNotMember, datagram("10.0.0.99:1", server)},
		{DropNotMember, datagram(stranger, "192.0.2.1:53")},
		{DropNotMember, datagram(stranger, client)},
		{DropNoFlow, datagram(stranger, publicUDP)},
		{DropNoFlow, syn(stranger, "203.0.113.6:443")},
		{DropMartian, syn("203.0.113.6:1", frontendSSH)},
		{DropMartian, datagram("127.0.0.1:1", server)},
		{LeftToHost, datagram(client, "224.0.0.251:5353")},
		{DropTooBig, packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: string(make([]byte, 1473)), IP: packettest.IP{DF: true}})},
		{DropTruncated, nil},
		{DropTruncated, datagram(client, server)[:19]},
	} {
		r := newTunnelRig(t, poolless)
		r.expect(c.want, nexthop.Inside, c.b)
		if c.want == DropTooBig {
			r.wantError(nexthop.Inside, serverHost, 3, 4, 1500, c.b)
		}
		r.silent()
		r.gone()
	}
}

func TestTunnelPingFrontend(t *testing.T) {
	for side, src := range []string{"10.0.0.10", "192.0.2.66"} {
		r := newTunnelRig(t, ssh())
		request := ping(src, "203.0.113.6", 9)
		r.expect(Answered, nexthop.Side(side), slices.Clone(request))
		if diff := cmp.Diff(packettest.Fields(t, pong("203.0.113.6", src, 9)), r.one(nexthop.Side(side))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTunnelRouter(t *testing.T) {
	r := tunnelRouter(1400)
	r.Solicit(publicAddr)
	if hop, s := r.Hop(publicAddr, nexthop.Outside); s != nexthop.Resolved || hop.MTU != 1400 || r.Local(publicAddr) {
		t.Errorf("%+v, %v, local %t", hop, s, r.Local(publicAddr))
	}
}

// tunnelRouter is one whose links on both sides have that MTU.
func tunnelRouter(mtu int) *TunnelRouter {
	r := NewTunnelRouter()
	for side := range r.links {
		r.SetLink(nexthop.Side(side), 0, mtu)
	}
	return r
}
