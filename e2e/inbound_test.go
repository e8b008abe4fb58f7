package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/e2e/lab"
)

const portRange = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
inboundNatRules:
  - { name: each, frontendIPConfiguration: public, protocol: Tcp, backendAddressPool: vms,
      frontendPortRangeStart: 50010, frontendPortRangeEnd: 50019, backendPort: 22, idleTimeout: IDLE, enableTcpReset: true }
inboundNatPools:
  - { name: older, frontendIPConfiguration: public, protocol: Udp, backendAddressPool: vms,
      frontendPortRangeStart: 50010, frontendPortRangeEnd: 50019, backendPort: 53 }
`

// A range of frontend ports leads to the members of a pool, one port for each.
func TestInboundRuleOverPool(t *testing.T) {
	onEach(t, settings{rules: portRange, idle: idle}, func(r *rig) {
		r.serveNames(":53", r.Hosts...)
		l, s1 := r.listen(":22", r.Hosts...), r.Servers[0]
		var pairs []pair
		for i, port := range []string{":50010", ":50011"} {
			p, host := l.connect(s1, frontend+port)
			if host != r.Hosts[i] {
				r.Errorf("port %s leads to %s, want %s", port, host.Name, r.Hosts[i].Name)
			}
			if got, want := p.inside.RemoteAddr().String(), p.outside.LocalAddr().String(); got != want {
				r.Errorf("%s sees %s, the client is %s", host.Name, got, want)
			}
			pairs = append(pairs, p)
			if v := r.query(s1, netip.AddrPort{}, frontend+port); v.backend != host.Name || v.seen != v.local {
				r.Errorf("by UDP port %s leads to %+v", port, v)
			}
		}
		r.wantDropped(s1, frontend+":50012", "no-flow")
		for _, p := range pairs {
			r.wantReset(p, idle)
		}
	})
}

const instances = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All, allocatedOutboundPorts: 1024 }
instancePublicIPs:
  - { name: pip0, publicIPAddress: 203.0.113.9, backendAddress: 10.0.0.11, idleTimeout: IDLE, enableTcpReset: true }
  - { name: pip1, publicIPAddress: 203.0.113.6, backendAddress: 10.0.0.12, idleTimeout: IDLE }
`

// An instance-level public IP is one backend's own in both directions, be it in a
// pool with an outbound rule or in none.
func TestInstancePublicIP(t *testing.T) {
	onEach(t, settings{rules: instances, idle: idle}, func(r *rig) {
		s1 := r.Servers[0]
		r.serveWeb(":80", r.Hosts...)
		r.serveNames(":53", r.Hosts...)
		r.serveWeb(":80", s1)
		r.serveNames(":53", s1)
		for public, own := range map[string]*lab.Host{third: r.Hosts[1], second: r.Hosts[2]} {
			in, inUDP := r.visit(s1, public+":80"), r.query(s1, netip.AddrPort{}, public+":53")
			if in.backend != own.Name || inUDP.backend != own.Name || in.seen != in.local || inUDP.seen != inUDP.local {
				r.Errorf("to %s: %+v and %+v", public, in, inUDP)
			}
			for _, out := range []visit{r.visit(own, s1.Addr.String()+":80"), r.query(own, netip.AddrPort{}, s1.Addr.String()+":53")} {
				if want := strings.Replace(out.local, own.Addr.String(), public, 1); out.seen != want {
					r.Errorf("s1 sees %s, want %s", out.seen, want)
				}
			}
			r.wantPingReaches(own, public)
		}
		if v := r.visit(r.Hosts[0], s1.Addr.String()+":80"); !strings.HasPrefix(v.seen, frontend+":") {
			r.Errorf("h1 has no public IP of its own, and s1 sees %s", v.seen)
		}
		if n := r.metrics()[`tidegate_snat_connections_total{backend="10.0.0.11",frontend="public",protocol="tcp",state="successful"}`]; n != 0 {
			r.Errorf("h2 used the outbound rule %v times", n)
		}
		p, _ := r.listen(":7007", r.Hosts[1]).connect(s1, third+":7007")
		r.wantReset(p, idle)
	})
}

// wantPingReaches checks that the host itself answers a ping to the address, and
// that it reaches the outside with one.
func (r *rig) wantPingReaches(own *lab.Host, public string) {
	r.Helper()
	s1 := r.Servers[0]
	r.check(ping(r, s1, public))
	r.check(ping(r, own, s1.Addr.String()))
	for wire, match := range map[*lab.Capture]func(lab.Packet) bool{
		r.inside: func(p lab.Packet) bool { return source(p).Addr() == s1.Addr && destination(p).Addr() == own.Addr },
		r.outside: func(p lab.Packet) bool {
			return source(p).Addr().String() == public && destination(p).Addr() == s1.Addr
		},
	} {
		_, err := wire.Wait(r.within(soon), func(p lab.Packet) bool {
			return !p.Outgoing && p.ICMP() != nil && p.ICMP().TypeCode.Type() == echoRequest && match(p)
		})
		r.check(err)
	}
}

const echoRequest = 8 // RFC 792

const guarded = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true,
      endpointACL: [ { order: 300, action: Permit, remoteSubnet: 0.0.0.0/0 }, { order: 200, action: Deny, remoteSubnet: 192.0.2.0/24 } ] }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 2222, backendAddress: 10.0.0.10, backendPort: 22,
      endpointACL: [ { order: 200, action: Deny, remoteSubnet: 192.0.2.0/24 }, { order: 100, action: Permit, remoteSubnet: 192.0.2.9 } ] }
`

// The entry with the lowest order decides; where some are given, the rest is denied.
func TestEndpointACL(t *testing.T) {
	onEach(t, settings{rules: guarded}, func(r *rig) {
		s1, s2 := r.Servers[0], r.Servers[1]
		r.serveWeb(":8080", r.Hosts[:2]...)
		r.serveWeb(":22", r.Hosts[0])
		r.wantBackends(s1, frontend+":80", "h1", "h2")
		r.wantDropped(s2, frontend+":80", "acl-denied")
		r.wantBackends(s2, frontend+":2222", "h1")
		r.wantDropped(s1, frontend+":2222", "acl-denied") // no entry names it
		for _, p := range fromGateway(r.outside) {
			denied := map[netip.Addr]uint16{s1.Addr: 2222, s2.Addr: 80}[destination(p).Addr()]
			if source(p).Port() == denied || p.ICMP() != nil {
				r.Errorf("who is denied is told so: %v", p)
			}
		}
	})
}

const implied = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8080, idleTimeout: IDLE, enableTcpReset: true }
`

// A load-balancing rule lets its pool out by its frontend, for its protocol, with
// Azure's default number of ports; unless it says otherwise.
func TestDefaultOutbound(t *testing.T) {
	onEach(t, settings{rules: implied, idle: idle}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		p := r.connect(h1, s1)
		f := r.flow(p)
		if f.Rule != "web" || f.External.Addr().String() != frontend || f.External.Port() < 1024 || f.Direction != "outbound" {
			r.Errorf("listed as %+v", f)
		}
		want, found := api.PortRow{Backend: "10.0.0.10", Protocol: "tcp", Allocated: 1024, Used: 1, Free: 1023}, false
		for _, row := range answer[api.Ports](r, "ports").Rows {
			found = found || row == want
			if row.Protocol != "tcp" && row.Allocated > 0 {
				r.Errorf("the rule is for Tcp, and gives ports: %+v", row)
			}
		}
		if !found {
			r.Errorf("ports shows no %+v: %+v", want, answer[api.Ports](r, "ports").Rows)
		}
		r.serveNames(":53", s1)
		conn := must(h1.Dial(r.Context(), "udp4", s1.Addr.String()+":53"))(r)
		defer conn.Close()
		if v, err := queryOver(conn); err == nil {
			r.Errorf("by UDP s1 sees %s", v.seen)
		}
		if n := r.status().Totals.Drops["no-rule"]; n != 1 {
			r.Errorf("%d packets are counted as no-rule, want 1", n)
		}
		r.wantReset(r.connect(h1, s1), idle)
	})
}

// disableOutboundSnat is for TCP too.
func TestDisableOutboundSNAT(t *testing.T) {
	onEach(t, settings{rules: balancing}, func(r *rig) {
		must(lab.ServeTCPEcho(r.Servers[0], ":7"))(r)
		r.wantDropped(r.Hosts[0], r.Servers[0].Addr.String()+":7", "no-rule")
		time.Sleep(settle)
		for _, p := range fromGateway(r.outside) {
			r.Errorf("went out: %v", p)
		}
	})
}

// Instance-level public IPs are reached from the inside as from the world, by who
// has one too, and by their own backends.
func TestHairpinToInstance(t *testing.T) {
	onEach(t, settings{rules: instances}, func(r *rig) {
		r.serveWeb(":80", r.Hosts...)
		seen := []string{frontend + ":", third + ":", second + ":"} // of h1, h2 and h3
		for public, own := range map[string]string{third: "h2", second: "h3"} {
			for i, h := range r.Hosts {
				if v := r.visit(h, public+":80"); v.backend != own || !strings.HasPrefix(v.seen, seen[i]) {
					r.Errorf("%s reached %s as %s, want %s", h.Name, v.backend, v.seen, own)
				}
			}
		}
	})
}
