package e2e

import (
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const askingEverywhere = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
  - { name: private, privateIPAddress: 10.0.0.4 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All, allocatedOutboundPorts: 1024,
      idleTimeout: IDLE, enableTcpReset: true, keepaliveBeforeReset: true }
loadBalancingRules:
  - { name: inside, frontendIPConfiguration: private, backendAddressPool: vms, protocol: Tcp, frontendPort: 80, backendPort: 8080,
      idleTimeout: IDLE, enableTcpReset: true, keepaliveBeforeReset: true }
`

// Ends that live keep their connection whichever way it goes.
func TestKeepaliveKeepsEveryKindOfFlow(t *testing.T) {
	onEach(t, settings{rules: askingEverywhere, idle: idle}, func(r *rig) {
		outbound := r.connect(r.Hosts[0], r.Servers[0])
		turned, _ := r.listen(":8080", r.Hosts[:2]...).connect(r.Hosts[2], private+":80")
		time.Sleep(3*idle + grace(idle))
		for _, p := range []pair{outbound, turned} {
			r.exchange(p)
			r.wantOpen(p)
		}
		if n := r.status().Totals.Created; n != 2 {
			r.Errorf("%d flows were made, want 2", n)
		}
		r.wantNoReset(0)
	})
}

const askingDirect = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: direct, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, enableFloatingIP: true, frontendPort: 80,
      backendPort: 80, disableOutboundSnat: true, idleTimeout: IDLE, enableTcpReset: true, keepaliveBeforeReset: true }
`

// Of a connection whose answers pass the gateway by, the client's word is enough; if
// that is silent the backend is told.
func TestKeepalivePastGateway(t *testing.T) {
	onDirect(t, settings{rules: askingDirect, idle: idle}, func(r *rig) {
		r.bypass()
		s1, h2 := r.Servers[0], r.Hosts[1]
		l := r.listen(frontend+":80", r.Hosts[:2]...)
		living, lost := l.connectTo(h2, s1, frontend+":80"), l.connectTo(h2, s1, frontend+":80")
		r.goSilent(s1, lost.outside)
		must(lab.WaitReset(lost.inside, idle+questionTime+grace(idle)+time.Second))(r)
		r.exchange(living)
		r.wantOpen(living)
	})
}
