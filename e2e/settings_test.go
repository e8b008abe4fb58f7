package e2e

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// settings is what a test wants of its gateway. The zero settings give every flow
// ten minutes and reset it then.
type settings struct {
	idle   time.Duration // of both rules
	silent bool          // enableTcpReset: false
	ports  int           // allocatedOutboundPorts; default 1024
	timers string        // as in "tcpHalfOpen: 1s"
	listen string        // a second api.listen
	rules  string        // all from frontendIPConfigurations on, in which the words of configuration may stand
}

const (
	frontend    = "203.0.113.5"
	second      = "203.0.113.6" // another public address, where there is one
	third       = "203.0.113.9" // and one more
	private     = "10.0.0.4"    // the internal frontend, where there is one
	inboundPort = "2222"
	loopback    = "127.0.0.1:9180"
)

// yaml is the configuration for a gateway on a datapath whose API listens on a socket.
func (s settings) yaml(datapath, socket string) string {
	listen := fmt.Sprintf("%q", "unix:"+socket)
	if s.listen != "" {
		listen += fmt.Sprintf(", %q", s.listen)
	}
	if s.idle == 0 {
		s.idle = 10 * time.Minute
	}
	if s.ports == 0 {
		s.ports = 1024
	}
	return strings.NewReplacer(
		"DATAPATH", datapath, "LISTEN", listen, "TIMERS", s.timers, "FRONTEND", frontend,
		"IDLE", s.idle.String(), "RESET", fmt.Sprint(!s.silent), "PORTS", fmt.Sprint(s.ports),
	).Replace(head + cmp.Or(s.rules, configuration))
}

const head = `profile: custom
gateway:
  datapath: DATAPATH
  inside:  { interface: in0 }
  outside: { interface: out0 }
api: { listen: [ LISTEN ] }
timers: { TIMERS }
`

const configuration = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: FRONTEND }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All,
      allocatedOutboundPorts: PORTS, idleTimeout: IDLE, enableTcpReset: RESET }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 2222,
      backendAddress: 10.0.0.10, backendPort: 22, idleTimeout: IDLE, enableTcpReset: RESET }
`
