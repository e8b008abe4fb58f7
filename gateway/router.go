package gateway

import (
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

// TunnelRouter is a Router for a TUN device: behind it the kernel routes.
type TunnelRouter struct{ hop nexthop.Hop }

// NewTunnelRouter returns a Router for packets of at most mtu bytes.
func NewTunnelRouter(mtu int) *TunnelRouter { return &TunnelRouter{nexthop.Hop{MTU: mtu}} }

// Hop implements Router.
func (r *TunnelRouter) Hop(packet.Addr, nexthop.Side) (*nexthop.Hop, nexthop.Status) {
	return &r.hop, nexthop.Resolved
}

// Solicit implements Router.
func (r *TunnelRouter) Solicit(packet.Addr) {}

// Local implements Router: what is for the host does not come through the tunnel.
func (r *TunnelRouter) Local(packet.Addr) bool { return false }

// Address implements Router: none, so that errors come from the address written to.
func (r *TunnelRouter) Address(nexthop.Side) packet.Addr { return 0 }
