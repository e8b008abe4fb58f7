package gateway

import (
	"sync/atomic"

	"tidegate/nexthop"
	"tidegate/packet"
)

// KernelRouter is a Router that goes by the host's own routes and neighbours.
type KernelRouter struct {
	table *nexthop.Table
	cache nexthop.Cache
}

// NewKernelRouter returns a Router for one goroutine; the table may be shared.
func NewKernelRouter(t *nexthop.Table) *KernelRouter { return &KernelRouter{table: t} }

// Hop implements Router. A route that leads out on the other side is no way:
// what comes from the inside is translated, or stays.
func (r *KernelRouter) Hop(dst packet.Addr, out nexthop.Side) (*nexthop.Hop, nexthop.Status) {
	snapshot := r.table.Snapshot()
	hop, status := r.cache.Lookup(snapshot, dst)
	if status == nexthop.Resolved {
		if hop.Side != out {
			return nil, nexthop.Elsewhere
		}
		return hop, status
	}
	if side, ok := snapshot.Leads(dst); ok && side != out {
		return nil, nexthop.Elsewhere
	}
	return nil, status
}

// Solicit implements Router.
func (r *KernelRouter) Solicit(dst packet.Addr) { r.table.Solicit(dst) }

// Local implements Router.
func (r *KernelRouter) Local(dst packet.Addr) bool { return r.table.Snapshot().Carried(dst) }

// Address implements Router.
func (r *KernelRouter) Address(side nexthop.Side) packet.Addr {
	return r.table.Snapshot().Link(side).Address
}

// TunnelRouter is a Router for a TUN device: behind it the kernel routes. It knows of
// the links on both sides what SetLink has said last; what the kernel would refuse
// inwards it would refuse in the name of the translated packet, to those outside.
type TunnelRouter struct{ links [2]atomic.Pointer[tunnelLink] }

type tunnelLink struct {
	hop     nexthop.Hop
	address packet.Addr
}

// NewTunnelRouter returns a Router that takes every packet. All goroutines may use it.
func NewTunnelRouter() *TunnelRouter {
	r := &TunnelRouter{}
	for side := range r.links {
		r.SetLink(nexthop.Side(side), 0, maxPacket)
	}
	return r
}

// maxPacket is the largest IPv4 packet.
const maxPacket = 65535

// SetLink says which address the gateway has on that side, 0 if none is known, and how
// large packets its link takes.
func (r *TunnelRouter) SetLink(side nexthop.Side, address packet.Addr, mtu int) {
	r.links[side].Store(&tunnelLink{nexthop.Hop{MTU: mtu}, address})
}

// Hop implements Router.
func (r *TunnelRouter) Hop(_ packet.Addr, out nexthop.Side) (*nexthop.Hop, nexthop.Status) {
	return &r.links[out].Load().hop, nexthop.Resolved
}

// Solicit implements Router.
func (r *TunnelRouter) Solicit(packet.Addr) {}

// Local implements Router: what is for the host does not come through the tunnel.
func (r *TunnelRouter) Local(packet.Addr) bool { return false }

// Address implements Router. Where it is 0, errors come from the address written to.
func (r *TunnelRouter) Address(side nexthop.Side) packet.Addr { return r.links[side].Load().address }
