package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const directRules = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: direct, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, enableFloatingIP: true,
      frontendPort: 80, backendPort: 80, disableOutboundSnat: true, idleTimeout: IDLE, enableTcpReset: true }
  - { name: udp, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Udp, enableFloatingIP: true,
      frontendPort: 53, backendPort: 53, disableOutboundSnat: true }
inboundNatRules:
  - { name: one, frontendIPConfiguration: public, protocol: Tcp, enableFloatingIP: true,
      frontendPort: 2222, backendAddress: 10.0.0.11, backendPort: 2222 }
`

// carryFrontend gives a host the frontend's address, as backends of a rule with
// enableFloatingIP have it: on the loopback, and without answering ARP for it.
const carryFrontend = `
	ip addr add 203.0.113.5/32 dev lo
	sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2`

// onDirect runs a scenario on the datapath that has direct server return: it hands
// frames to a backend's MAC, and tun has none.
func onDirect(t *testing.T, s settings, scenario func(*rig)) {
	t.Parallel()
	r := newRig(t, "packet")
	for _, h := range r.Hosts[:2] {
		r.shell(h, carryFrontend)
	}
	r.watch()
	r.start(s)
	scenario(r)
}

// A backend gets packets for the frontend as the client sent them, and what it
// answers by the gateway is left alone too.
func TestDirectServerReturn(t *testing.T) {
	onDirect(t, settings{rules: directRules}, func(r *rig) {
		r.serveWeb(frontend+":80", r.Hosts[:2]...)
		r.serveNames(frontend+":53", r.Hosts[:2]...)
		r.wantBackends(r.Servers[0], frontend+":80", "h1", "h2")
		v := r.visit(r.Servers[1], frontend+":80")
		if v.seen != v.local {
			r.Errorf("%s sees %s, the client is %s", v.backend, v.seen, v.local)
		}
		r.wantUntouched(v)
		r.serveWeb(frontend+":2222", r.Hosts[:2]...)
		r.wantBackends(r.Servers[0], frontend+":2222", "h2")
		if v := r.query(r.Servers[0], netip.AddrPort{}, frontend+":53"); v.seen != v.local {
			r.Errorf("by UDP %s sees %s, the client is %s", v.backend, v.seen, v.local)
		}
	})
}

// wantUntouched checks that what both cables carried of the visit had the client's
// and the frontend's addresses.
func (r *rig) wantUntouched(v visit) {
	r.Helper()
	client, server := netip.MustParseAddrPort(v.local), netip.MustParseAddrPort(frontend+":80")
	for _, wire := range []*lab.Capture{r.inside, r.outside} {
		seen := [2]int{}
		for _, p := range wire.Packets() {
			switch src, dst := endpoints(p); {
			case src == client && dst == server:
				seen[0]++
			case src == server && dst == client:
				seen[1]++
			case src.Addr() == client.Addr() || dst.Addr() == client.Addr():
				r.Errorf("changed on its way: %v", p)
				continue
			default:
				continue
			}
			if !p.Outgoing && !p.PartialChecksum {
				r.wantValid(p)
			}
		}
		if seen[0] == 0 || seen[1] == 0 {
			r.Errorf("a cable carried %d packets to the frontend, %d from it", seen[0], seen[1])
		}
	}
}

// bypass joins h2 to the router by a cable of its own, by which its answers go.
func (r *rig) bypass() {
	r.Helper()
	r.shell(r.Hosts[1], fmt.Sprintf(`
		ip link add bypass0 type veth peer name bypass1 netns %s
		ip addr add 10.9.9.1/30 dev bypass0
		ip link set bypass0 up
		ip route add 198.51.100.0/24 via 10.9.9.2
		sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0`, r.Router.Namespace()))
	r.shell(r.Router, "ip addr add 10.9.9.2/30 dev bypass1; ip link set bypass1 up")
}

// The gateway sees one direction only: the connection works, outlives the timer
// for connections that nobody has answered, and when it is idle both ends are told.
func TestDirectServerReturnPastGateway(t *testing.T) {
	onDirect(t, settings{rules: directRules, idle: 3 * time.Second, timers: "tcpHalfOpen: 1s"}, func(r *rig) {
		r.bypass()
		s1, h2 := r.Servers[0], r.Hosts[1]
		l := r.listen(frontend+":80", r.Hosts[:2]...)
		p := l.connectTo(h2, s1, frontend+":80")
		time.Sleep(2 * time.Second)
		r.exchange(p)
		if all := conversation(r.inside, addrPort(p.inside.LocalAddr()), addrPort(p.inside.RemoteAddr())); slices.ContainsFunc(all, func(c lab.Packet) bool { return c.Outgoing }) {
			r.Error("h2's answers still go by the gateway")
		}
		settled := r.wantNoChallenge(h2, s1)
		r.wantReset(p, 3*time.Second)
		settled()
		r.wantNoFlow(time.Second, "state=ESTABLISHED")
	})
}

const directInside = `
frontendIPConfigurations:
  - { name: private, privateIPAddress: 10.0.0.4 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: sql, frontendIPConfiguration: private, backendAddressPool: vms, protocol: Tcp, enableFloatingIP: true,
      frontendPort: 1433, backendPort: 1433, idleTimeout: IDLE, enableTcpReset: true }
`

// On an internal frontend the answers always go straight to the client.
func TestDirectServerReturnInside(t *testing.T) {
	onDirect(t, settings{rules: directInside, idle: 3 * time.Second, timers: "tcpHalfOpen: 1s"}, func(r *rig) {
		for _, h := range r.Hosts[:2] {
			r.shell(h, "ip addr add "+private+"/32 dev lo")
		}
		h3 := r.Hosts[2]
		l := r.listen(private+":1433", r.Hosts[:2]...)
		var pairs []pair
		for _, h := range r.Hosts[:2] {
			p := l.connectTo(h, h3, private+":1433")
			if got, want := p.inside.RemoteAddr().String(), p.outside.LocalAddr().String(); got != want {
				r.Errorf("%s sees %s, the client is %s", h.Name, got, want)
			}
			defer r.wantNoChallenge(h, h3)()
			pairs = append(pairs, p)
		}
		time.Sleep(2 * time.Second)
		for _, p := range pairs {
			r.exchange(p)
		}
		for _, p := range pairs {
			for _, conn := range p.ends() {
				r.wantTold(conn, 3*time.Second)
			}
		}
	})
}
