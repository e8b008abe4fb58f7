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
	hop, status := r.cache.Lookup(r.table.Snapshot(), dst)
	if status == nexthop.Resolved && hop.Side != out {
		return nil, nexthop.Elsewhere
	}
	return hop, status
}

// Solicit implements Router.
func (r *KernelRouter) Solicit(dst packet.Addr) { r.table.Solicit(dst) }

// Local implements Router.
func (r *KernelRouter) Local(dst packet.Addr) bool { return r.table.Snapshot().Carried(dst) }

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
