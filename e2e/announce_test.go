package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
)

const everySort = internalRules + `
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8081, disableOutboundSnat: true, enableFloatingIP: true, probe: tcp }
probes:
  - { name: tcp, protocol: Tcp, port: 8081 }
instancePublicIPs:
  - { name: pip0, publicIPAddress: 203.0.113.9, backendAddress: 10.0.0.12 }
`

// Every address is announced on its side when the gateway starts, and on no other,
// and when it ends its host is as before. With tun both are the operator's.
func TestAddressesAreAnnouncedAndGivenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.configure(settings{rules: everySort})
	before := r.hostState(r.Gateway)
	r.watch()
	r.start(settings{rules: everySort})
	for wire, want := range map[*lab.Capture]map[string]bool{
		r.inside:  {private: true, normal: true},
		r.outside: {frontend: true, third: true},
	} {
		r.eventually(soon, "every address is announced", func() bool { return len(announced(wire)) == len(want) })
		for a := range announced(wire) {
			if !want[a] {
				r.Errorf("%s is announced on the wrong side", a)
			}
		}
	}
	r.wantDropped(r.Servers[0], frontend+":80", "no-backend")
	r.stop()
	time.Sleep(settle)
	r.wantHostState(r.Gateway, before)
}

// announced is what the gateway has said by ARP, unasked, that it has.
func announced(wire *lab.Capture) map[string]bool {
	found := map[string]bool{}
	for _, p := range wire.Packets() {
		arp, _ := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		if arp == nil || p.Outgoing {
			continue
		}
		from, to := netip.AddrFrom4([4]byte(arp.SourceProtAddress)), netip.AddrFrom4([4]byte(arp.DstProtAddress))
		if from == to {
			found[from.String()] = true
		}
	}
	return found
}
