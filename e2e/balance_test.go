package e2e

import (
	"net/netip"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const balancing = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true, idleTimeout: IDLE, enableTcpReset: true }
  - { name: dns, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Udp,
      frontendPort: 53, backendPort: 5353, disableOutboundSnat: true, idleTimeout: IDLE }
`

const visits = 40

// Clients of two networks get whole pages from both backends, which see who asks.
func TestLoadBalancing(t *testing.T) {
	onEach(t, settings{rules: balancing}, func(r *rig) {
		r.serveWeb(":8080", r.Hosts[:2]...)
		r.serveNames(":5353", r.Hosts[:2]...)
		ask := map[string]func(from *lab.Host) visit{
			"tcp": func(from *lab.Host) visit { return r.visit(from, frontend+":80") },
			"udp": func(from *lab.Host) visit { return r.query(from, netip.AddrPort{}, frontend+":53") },
		}
		for proto, one := range ask {
			served := map[string]int{}
			for i := range visits {
				v := one(r.Servers[i%2])
				served[v.backend]++
				if v.seen != v.local {
					r.Errorf("by %s %s sees %s, the client is %s", proto, v.backend, v.seen, v.local)
				}
			}
			if served["h1"] == 0 || served["h2"] == 0 || served["h1"]+served["h2"] != visits {
				r.Errorf("by %s the visits went to %v", proto, served)
			}
		}
		const samePort = 3 // that often a kernel may give a client a port again, whose flow still lives
		if n := int(r.status().Totals.Created); n > 2*visits || n < 2*visits-samePort {
			r.Errorf("%d flows, want one for each of %d visits", n, 2*visits)
		}
		r.wantDropped(r.Servers[0], frontend+":81", "no-flow")
	})
}

func TestLoadBalancedIdleReset(t *testing.T) {
	onEach(t, settings{rules: balancing, idle: idle}, func(r *rig) {
		p, _ := r.listen(":8080", r.Hosts[:2]...).connect(r.Servers[0], frontend+":80")
		r.wantReset(p, idle)
		r.wantNoFlow(time.Second, "proto=tcp")
	})
}

const affine = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
  - { name: second, publicIPAddress: 203.0.113.6 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, loadDistribution: SourceIP,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true }
  - { name: dns, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Udp, loadDistribution: SourceIP,
      frontendPort: 53, backendPort: 5353, disableOutboundSnat: true }
  - { name: web2, frontendIPConfiguration: second, backendAddressPool: vms, protocol: Tcp, loadDistribution: SourceIPProtocol,
      frontendPort: 80, backendPort: 8081, disableOutboundSnat: true }
  - { name: dns2, frontendIPConfiguration: second, backendAddressPool: vms, protocol: Udp, loadDistribution: SourceIPProtocol,
      frontendPort: 53, backendPort: 5354, disableOutboundSnat: true }
`

// One client has one backend, from whatever port; by SourceIP for TCP and UDP the
// same, by SourceIPProtocol one for each.
func TestAffinity(t *testing.T) {
	onEach(t, settings{rules: affine}, func(r *rig) {
		members := r.Hosts[:2]
		r.serveWeb(":8080", members...)
		r.serveWeb(":8081", members...)
		r.serveNames(":5353", members...)
		r.serveNames(":5354", members...)
		clients := r.moreClients(12)
		sure, apart := map[string]int{}, 0
		for _, c := range clients {
			tcp, udp := r.onlyBackend(c, frontend)
			sure[tcp]++
			if tcp != udp {
				r.Errorf("SourceIP: %v has %s by TCP and %s by UDP", c, tcp, udp)
			}
			if tcp, udp := r.onlyBackend(c, second); tcp != udp {
				apart++
			}
		}
		if len(sure) != 2 {
			r.Errorf("%d clients have the backends %v", len(clients), sure)
		}
		if apart == 0 {
			r.Errorf("SourceIPProtocol: every one of %d clients has the same backend by TCP and UDP", len(clients))
		}
	})
}

// moreClients gives s1 more addresses, and returns those.
func (r *rig) moreClients(n int) (all []netip.Addr) {
	r.Helper()
	a := netip.MustParseAddr("198.51.100.20")
	for range n {
		r.shell(r.Servers[0], "ip addr add "+a.String()+"/24 dev eth0")
		all = append(all, a)
		a = a.Next()
	}
	return all
}

// onlyBackend visits a frontend from several ports of a client by TCP and UDP, and
// fails if one of the two has more than one backend.
func (r *rig) onlyBackend(client netip.Addr, frontend string) (tcp, udp string) {
	r.Helper()
	from, any := r.Servers[0], netip.AddrPortFrom(client, 0)
	for range 6 {
		v, q := r.visitFrom(from, any, frontend+":80"), r.query(from, any, frontend+":53")
		if tcp != "" && (v.backend != tcp || q.backend != udp) {
			r.Errorf("%v has %s and %s by TCP, %s and %s by UDP", client, tcp, v.backend, udp, q.backend)
		}
		tcp, udp = v.backend, q.backend
	}
	return tcp, udp
}

const udpTimer = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10 ] }
loadBalancingRules:
  - { name: short, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Udp,
      frontendPort: 53, backendPort: 5353, disableOutboundSnat: true, idleTimeout: 1s }
  - { name: long, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Udp,
      frontendPort: 54, backendPort: 5354, disableOutboundSnat: true, idleTimeout: 10m }
`

// A rule's idle timeout is none for UDP, neither a shorter nor a longer one.
func TestUDPTimerOfLoadBalancing(t *testing.T) {
	onEach(t, settings{rules: udpTimer, timers: "udpLoadBalanced: 3s"}, func(r *rig) {
		r.serveNames(":5353", r.Hosts[0])
		r.serveNames(":5354", r.Hosts[0])
		began := time.Now()
		r.query(r.Servers[0], netip.AddrPort{}, frontend+":53")
		r.query(r.Servers[0], netip.AddrPort{}, frontend+":54")
		time.Sleep(time.Until(began.Add(2500 * time.Millisecond)))
		if n := len(r.flows("proto=udp", "state=ACTIVE")); n != 2 {
			r.Errorf("%d flows after %v, want 2", n, time.Since(began))
		}
		r.wantNoFlow(2500*time.Millisecond, "proto=udp")
		r.wantNoReset(0)
	})
}
