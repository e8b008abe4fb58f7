package e2e

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// The ports of a member, and what is left of them.
const (
	wide, narrowed = 32, 16
	inUse          = 20 // of wide: some of those that are lost
)

func withPorts(members string, ports int) settings {
	return settings{rules: edited("10.0.0.10, 10.0.0.11", members), ports: ports, timers: "tcpFinHold: 1s"}
}

// held is a set of external endpoints.
type held map[netip.AddrPort]bool

// external returns the external endpoints that FILTER words find.
func (r *rig) external(words ...string) held {
	r.Helper()
	found := held{}
	for _, f := range r.flows(words...) {
		found[f.External] = true
	}
	return found
}

// shared counts what two have in common.
func (h held) shared(other held) (n int) {
	for e := range h {
		if other[e] {
			n++
		}
	}
	return n
}

func (r *rig) draining() int {
	r.Helper()
	return int(r.metrics()["tidegate_snat_ports_draining"])
}

// h1 loses ports that it has in use, to h3. Its connections stay, h3 uses the same
// ports for other servers, and for the same server those that are free there; and so
// it is after more reloads, by one of which h1 leaves.
func TestReloadDrainsTCPPorts(t *testing.T) {
	onEach(t, withPorts("10.0.0.10, 10.0.0.11", wide), func(r *rig) {
		h1, h3 := r.Hosts[0], r.Hosts[2]
		same, other := must(lab.ServeTCPEcho(r.Servers[0], ":7"))(r).Addr, must(lab.ServeTCPEcho(r.Servers[1], ":7"))(r).Addr
		mine := r.dialEchoes(h1, same, inUse)
		was := r.byID()
		r.bySignal(withPorts("10.0.0.10, 10.0.0.11, 10.0.0.12", narrowed))
		elsewhere := r.dialEchoes(h3, other, narrowed)
		lost := r.external("backend=10.0.0.10").shared(r.external("backend=10.0.0.12"))
		if lost == 0 || lost == narrowed || r.draining() != lost {
			r.Fatalf("h1 has %d flows on ports of h3, the metric says %d", lost, r.draining())
		}
		beside := r.dialEchoes(h3, same, narrowed-lost)
		r.wantRefused(h3, same, unix.ECONNREFUSED)
		r.bySignal(withPorts("10.0.0.12, 10.0.0.11, 10.0.0.10", narrowed))
		if n := r.draining(); n != lost {
			r.Errorf("after another reload %d ports drain, not %d", n, lost)
		}
		r.bySignal(withPorts("10.0.0.11, 10.0.0.12", narrowed))
		if n := r.draining(); n != inUse {
			r.Errorf("h1 has left, %d ports drain of %d in use", n, inUse)
		}
		r.wantRefused(h3, same, unix.ECONNREFUSED)
		r.wantSameFlows(was)
		r.wantOneFlowEach()
		for _, conn := range append(mine, append(elsewhere, beside...)...) {
			r.check(say(conn, conn))
		}
		for _, conn := range mine {
			conn.Close()
		}
		r.eventually(4*time.Second, "nothing drains", func() bool { return r.draining() == 0 })
		r.dialEchoes(h3, same, lost)
		r.wantRefused(h3, same, unix.ECONNREFUSED)
		r.wantOneFlowEach()
	})
}

func (r *rig) dialEchoes(from *lab.Host, to netip.AddrPort, n int) (all []net.Conn) {
	r.Helper()
	for range n {
		all = append(all, r.dialEcho(from, to))
	}
	return all
}

// wantOneFlowEach checks that no two flows are the same to a server.
func (r *rig) wantOneFlowEach() {
	r.Helper()
	type seen struct {
		protocol         string
		external, remote netip.AddrPort
	}
	first := map[seen]api.Flow{}
	for _, f := range r.flows() {
		s := seen{f.Protocol, f.External, f.Remote}
		if g, there := first[s]; there {
			r.Errorf("two flows look the same from outside: %+v and %+v", g, f)
		}
		first[s] = f
	}
}

// A mapping that is on a port that is lost stays what it is, for servers that it has not
// spoken to, too; nobody else gets the port before its last flow is over.
func TestReloadDrainsUDPPorts(t *testing.T) {
	onEach(t, withPorts("10.0.0.10, 10.0.0.11", wide), func(r *rig) {
		h1, h3 := r.Hosts[0], r.Hosts[2]
		servers := make([]net.PacketConn, 2)
		for i, s := range r.Servers {
			servers[i] = must(s.ListenPacket("udp4", ":7"))(r)
			defer servers[i].Close()
		}
		first, another := netip.AddrPortFrom(r.Servers[0].Addr, 7), netip.AddrPortFrom(r.Servers[1].Addr, 7)
		mine := map[net.PacketConn]string{}
		for range inUse {
			conn := r.datagramSocket(h1)
			mine[conn] = r.datagram(conn, servers[0], first)
		}
		r.bySignal(withPorts("10.0.0.10, 10.0.0.11, 10.0.0.12", narrowed))
		lost := r.draining()
		if lost == 0 || lost == narrowed {
			r.Fatalf("%d ports drain", lost)
		}
		theirs := map[string]bool{}
		for range narrowed - lost {
			theirs[r.datagram(r.datagramSocket(h3), servers[0], first)] = true
		}
		if conn := r.datagramSocket(h3); r.passes(conn, servers[0], first) {
			r.Error("h3 has got a port more than are free")
		}
		for conn, external := range mine {
			for i, to := range []netip.AddrPort{first, another} {
				if seen := r.datagram(conn, servers[i], to); seen != external || theirs[seen] {
					r.Errorf("a mapping of h1 was %s and is %s to %v (of h3: %t)", external, seen, to, theirs[seen])
				}
			}
		}
		r.wantOneFlowEach()
		if o := r.cli("kill", "proto=udp", "backend=10.0.0.10"); o.status != 0 {
			r.Errorf("kill: %+v", o)
		}
		if n := r.draining(); n != 0 {
			r.Errorf("%d ports still drain", n)
		}
		for range lost {
			r.datagram(r.datagramSocket(h3), servers[0], first)
		}
	})
}

func (r *rig) datagramSocket(h *lab.Host) net.PacketConn {
	r.Helper()
	conn := must(h.ListenPacket("udp4", ":0"))(r)
	r.Cleanup(func() { conn.Close() })
	return conn
}

// passes says whether a datagram gets to the server.
func (r *rig) passes(client, server net.PacketConn, to netip.AddrPort) bool {
	r.Helper()
	must(client.WriteTo([]byte(line), net.UDPAddrFromAddrPort(to)))(r)
	r.check(server.SetReadDeadline(time.Now().Add(settle)))
	_, _, err := server.ReadFrom(make([]byte, 100))
	return err == nil
}
