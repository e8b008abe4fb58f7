package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
)

const internalRules = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
  - { name: private, privateIPAddress: 10.0.0.4 }
  - { name: normal, privateIPAddress: 10.0.0.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: ha, frontendIPConfiguration: private, backendAddressPool: vms, protocol: All,
      frontendPort: 0, backendPort: 0, idleTimeout: IDLE, enableTcpReset: true }
  - { name: normal, frontendIPConfiguration: normal, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8080, idleTimeout: IDLE, enableTcpReset: true }
`

const normal = "10.0.0.5"

// HA ports on an internal frontend lead every port of TCP and UDP to the backends,
// for clients in no pool too. Backends see the frontend as the client.
func TestHAPorts(t *testing.T) {
	onEach(t, settings{rules: internalRules}, func(r *rig) {
		h3 := r.Hosts[2]
		for _, port := range []string{":22", ":8080", ":65534"} {
			r.serveWeb(port, r.Hosts[:2]...)
			r.serveNames(port, r.Hosts[:2]...)
			r.wantBackends(h3, private+port, "h1", "h2")
			for _, v := range []visit{r.visit(h3, private+port), r.query(h3, netip.AddrPort{}, private+port)} {
				if seen := netip.MustParseAddrPort(v.seen); seen.Addr().String() != private {
					r.Errorf("on port %s %s sees %v", port, v.backend, seen)
				}
			}
		}
		r.check(ping(r, h3, private))
		r.wantNotAnsweredOutside(private)
	})
}

func ping(r *rig, from *lab.Host, to string) error {
	_, err := from.Ping(r.within(soon), netip.MustParseAddr(to))
	return err
}

// wantNotAnsweredOutside checks that a frontend of the inside is not to be had
// outside: not by ARP, and not by who sends packets to the gateway for it.
func (r *rig) wantNotAnsweredOutside(frontend string) {
	r.Helper()
	r.shell(r.Router, "ip route add "+frontend+"/32 dev wan0")
	r.wantNoAnswer(r.Servers[0], frontend+":8080")
	for _, p := range r.outside.Packets() {
		arp, _ := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		if arp != nil && !p.Outgoing && arp.Operation == layers.ARPReply && netip.AddrFrom4([4]byte(arp.SourceProtAddress)).String() == frontend {
			r.Errorf("ARP for %s is answered outside: %v", frontend, p)
		}
	}
	r.shell(r.Router, "ip route replace "+frontend+"/32 via 203.0.113.1")
	r.wantNoAnswer(r.Servers[0], frontend+":8080")
	for _, p := range fromGateway(r.inside) {
		if source(p).Addr() == r.Servers[0].Addr {
			r.Errorf("s1 got in: %v", p)
		}
	}
}

// Inside the gateway's host answers ARP for it, and at once.
func TestInternalFrontendIsNeighbour(t *testing.T) {
	onEach(t, settings{rules: internalRules}, func(r *rig) {
		mac := r.Gateway.Interface("in0").MAC.String()
		for _, h := range r.Hosts {
			began := time.Now()
			r.check(ping(r, h, private))
			if took := time.Since(began); took > settle {
				r.Errorf("%s waited %v for an answer", h.Name, took)
			}
			if n := r.shell(h, "ip neigh show "+private); !strings.Contains(n, mac) {
				r.Errorf("%s has %s as its neighbour %q, want %s", h.Name, private, n, mac)
			}
		}
	})
}

// An idle flow of HA ports on an internal frontend is never reset, one of another
// rule there is.
func TestHAPortsAreSilent(t *testing.T) {
	onEach(t, settings{rules: internalRules, idle: idle}, func(r *rig) {
		h3 := r.Hosts[2]
		l := r.listen(":8080", r.Hosts[:2]...)
		silent, _ := l.connect(h3, private+":8080")
		loud, _ := l.connect(h3, normal+":80")
		for _, conn := range loud.ends() {
			r.wantTold(conn, idle)
		}
		r.wantNoFlow(idle, "proto=tcp")
		time.Sleep(settle)
		r.wantOpen(silent)
		for _, p := range resets(r.inside) {
			if source(p).Addr().String() == private || destination(p).Addr().String() == private {
				r.Errorf("a RST: %v", p)
			}
		}
	})
}

// A backend reaches its pool by the internal frontend, and itself.
func TestBackendUsesItsOwnFrontend(t *testing.T) {
	onEach(t, settings{rules: internalRules}, func(r *rig) {
		r.serveWeb(":8080", r.Hosts[:2]...)
		for _, h := range r.Hosts[:2] {
			r.wantBackends(h, normal+":80", "h1", "h2")
			r.wantBackends(h, private+":8080", "h1", "h2")
		}
		for _, v := range []visit{r.visit(r.Hosts[0], normal+":80"), r.visit(r.Hosts[2], normal+":80")} {
			if !strings.HasPrefix(v.seen, normal+":") {
				r.Errorf("%s sees %s", v.backend, v.seen)
			}
		}
		r.wantDropped(r.Hosts[2], normal+":81", "no-flow")
	})
}

const hairpinRules = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
  - { name: second, publicIPAddress: 203.0.113.6 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ second ], backendAddressPool: vms, protocol: All, allocatedOutboundPorts: 1024 }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 2222, backendAddress: 10.0.0.11, backendPort: 22 }
`

// A pool member reaches its pool's public frontend, and itself, as the world does;
// who is in no pool does not.
func TestHairpinToRules(t *testing.T) {
	onEach(t, settings{rules: hairpinRules}, func(r *rig) {
		r.serveWeb(":8080", r.Hosts[:2]...)
		r.serveWeb(":22", r.Hosts[1])
		for _, h := range r.Hosts[:2] {
			r.wantBackends(h, frontend+":80", "h1", "h2")
			r.wantBackends(h, frontend+":2222", "h2")
			if v := r.visit(h, frontend+":80"); !strings.HasPrefix(v.seen, second+":") {
				r.Errorf("%s sees %s as %s, want what %s has outside", v.backend, h.Name, v.seen, h.Name)
			}
		}
		for _, to := range []string{frontend + ":80", frontend + ":2222"} {
			if r.datapath == "tun" { // where it is taken for somebody outside, whom the answers miss
				r.wantNoAnswer(r.Hosts[2], to)
			} else {
				r.wantDropped(r.Hosts[2], to, "not-a-member")
			}
		}
		for _, p := range fromGateway(r.outside) {
			r.Errorf("what is for the inside went out: %v", p)
		}
	})
}
