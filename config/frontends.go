package config

import (
	"iter"
	"net/netip"
	"time"
)

// FrontendIPConfiguration is an address, or a prefix of them, that the gateway
// owns; exactly one of the three is set. No two frontends overlap.
type FrontendIPConfiguration struct {
	Name             string       `mapstructure:"name"`
	PublicIPAddress  netip.Addr   `mapstructure:"publicIPAddress"`
	PublicIPPrefix   netip.Prefix `mapstructure:"publicIPPrefix"`
	PrivateIPAddress netip.Addr   `mapstructure:"privateIPAddress"` // answered on the inside
}

// BackendAddressPool is a set of addresses on the inside. It may be empty, and
// may share addresses with another pool.
type BackendAddressPool struct {
	Name                 string        `mapstructure:"name"`
	Addresses            []PoolAddress `mapstructure:"addresses"`            // disjoint
	DrainPeriodInSeconds int           `mapstructure:"drainPeriodInSeconds"` // 0–86,400; see Drain
}

// PoolAddress is one entry of a pool: an address, held as a /32, or a prefix,
// and what its operator decided about it.
type PoolAddress struct {
	netip.Prefix `mapstructure:"ipAddress"`
	AdminState   AdminState `mapstructure:"adminState"` // never empty
}

// AdminState is an operator's word on a member, above that of its probes.
type AdminState string

// The states, in Azure's spelling.
const (
	AdminNone AdminState = "None" // the probe decides; the default
	AdminUp   AdminState = "Up"   // gets new flows whatever the probe says
	AdminDown AdminState = "Down" // gets no new flows
)

// String returns the entry as the file gives it: an address without "/32".
func (p PoolAddress) String() string { return show(p.Prefix) }

// Drain returns how long the flows of a member go on after it left the pool; 0
// is without end.
func (p BackendAddressPool) Drain() time.Duration {
	return time.Duration(p.DrainPeriodInSeconds) * time.Second
}

// Size returns how many members the pool has.
func (p BackendAddressPool) Size() int {
	n := 0
	for _, a := range p.Addresses {
		n += size(a.Prefix)
	}
	return n
}

// Members yields every address of the pool, entry by entry. All addresses of a
// prefix are members, its first and its last too: a pool prefix need not be a
// subnet, so they are hosts as good as any.
func (p BackendAddressPool) Members() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for a := range p.States() {
			if !yield(a) {
				return
			}
		}
	}
}

// States yields what Members does, each with the state of its entry.
func (p BackendAddressPool) States() iter.Seq2[netip.Addr, AdminState] {
	return func(yield func(netip.Addr, AdminState) bool) {
		for _, entry := range p.Addresses {
			for a := range addresses(entry.Prefix) {
				if !yield(a, entry.AdminState) {
					return
				}
			}
		}
	}
}
