package e2e

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

// everyWay has a rule of every kind. What is public is 203.0.113.5 for h1 and h2 on
// their way out and for rules to h1, 203.0.113.6 for both and 203.0.113.9 for h3.
const everyWay = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
  - { name: balanced, publicIPAddress: 203.0.113.6 }
  - { name: private, privateIPAddress: 10.0.0.4 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All, allocatedOutboundPorts: 1024 }
loadBalancingRules:
  - { name: dns, frontendIPConfiguration: balanced, backendAddressPool: vms, protocol: Udp,
      frontendPort: 53, backendPort: 5353, disableOutboundSnat: true }
  - { name: ha, frontendIPConfiguration: private, backendAddressPool: vms, protocol: All, frontendPort: 0, backendPort: 0 }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 2222, backendAddress: 10.0.0.10, backendPort: 22 }
  - { name: names, frontendIPConfiguration: public, protocol: Udp, frontendPort: 2222, backendAddress: 10.0.0.10, backendPort: 5353 }
instancePublicIPs:
  - { name: pip, publicIPAddress: 203.0.113.9, backendAddress: 10.0.0.12 }
`

// onSocket runs f on a connection's socket.
func (r *rig) onSocket(conn net.Conn, f func(fd int) error) {
	r.Helper()
	raw := must(conn.(syscall.Conn).SyscallConn())(r)
	var failed error
	r.check(raw.Control(func(fd uintptr) { failed = f(int(fd)) }))
	r.check(failed)
}

// setOption sets one of ip(7).
func (r *rig) setOption(conn net.Conn, option, value int) {
	r.Helper()
	r.onSocket(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_IP, option, value) })
}

// told is what a socket was told about what it sent.
type told struct {
	refusal unix.Errno
	by      string // who sent the ICMP error
}

// datagramTold sends a datagram, and returns what its sender is told about it. A TTL
// of 0 is the kernel's own.
func (r *rig) datagramTold(from *lab.Host, to string, ttl int) (t told) {
	r.Helper()
	conn := must(from.Dial(r.Context(), "udp4", to))(r)
	defer conn.Close()
	r.setOption(conn, unix.IP_RECVERR, 1)
	if ttl > 0 {
		r.setOption(conn, unix.IP_TTL, ttl)
	}
	must(conn.Write([]byte(line)))(r)
	r.eventually(soon, "an ICMP error comes from "+to, func() (ok bool) {
		r.onSocket(conn, func(fd int) (err error) {
			t, ok, err = nextTold(fd)
			return err
		})
		return ok
	})
	return t
}

// nextTold takes an error out of the socket's queue, if there is one: a struct
// sock_extended_err (linux/errqueue.h), behind which the sender's address is.
func nextTold(fd int) (t told, ok bool, err error) {
	control := make([]byte, 512)
	_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 1500), control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return t, false, nil
	}
	if err != nil {
		return t, false, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	for _, m := range messages {
		if m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR && len(m.Data) >= 24 {
			t.refusal = unix.Errno(binary.NativeEndian.Uint32(m.Data))
			t.by = netip.AddrFrom4([4]byte(m.Data[20:24])).String()
			ok = true
		}
	}
	return t, ok, err
}

// icmpErrors returns those that the gateway sent over a cable, all of which must be
// right to the last checksum.
func (r *rig) icmpErrors(wire *lab.Capture) []lab.Packet {
	r.Helper()
	all := slices.DeleteFunc(fromGateway(wire), func(p lab.Packet) bool {
		if p.ICMP() == nil {
			return true
		}
		typ := p.ICMP().TypeCode.Type()
		return typ != unreachable && typ != timeExceeded
	})
	for _, p := range all {
		r.wantValid(p)
	}
	return all
}

const unreachable, timeExceeded = 3, 11 // RFC 792

// wantNothingOfInside checks that the world has heard of no inside address, not in
// the packets that ICMP errors quote either.
func (r *rig) wantNothingOfInside() {
	r.Helper()
	time.Sleep(settle)
	r.wantTranslated()
	for _, p := range r.icmpErrors(r.outside) {
		quoted := p.ICMP().Payload
		for _, at := range []int{12, 16} {
			if a := netip.AddrFrom4([4]byte(quoted[at : at+4])); inside(a) {
				r.Errorf("the world hears of %v: %v", a, p)
			}
		}
	}
}
