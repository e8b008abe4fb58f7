package api

import (
	"fmt"
	"net/netip"
)

// Endpoints selects addresses, and perhaps one port. The zero value selects all.
type Endpoints struct {
	prefix  netip.Prefix
	port    uint16
	hasPort bool
}

// ParseEndpoints reads an address, ADDR:PORT or a CIDR prefix.
func ParseEndpoints(s string) (Endpoints, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return Endpoints{prefix: host(a)}, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return Endpoints{prefix: host(ap.Addr()), port: ap.Port(), hasPort: true}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return Endpoints{}, fmt.Errorf("%q is no address, ADDR:PORT or CIDR", s)
	}
	if p != p.Masked() {
		return Endpoints{}, fmt.Errorf("%s has bits beyond the prefix: the network is %s, the address %s", s, p.Masked(), p.Addr())
	}
	return Endpoints{prefix: p}, nil
}

func host(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// Contains says whether the endpoint is among those selected.
func (e Endpoints) Contains(ap netip.AddrPort) bool {
	if e == (Endpoints{}) {
		return true
	}
	return e.prefix.Contains(ap.Addr()) && (!e.hasPort || e.port == ap.Port())
}

// Prefix returns the addresses, and the port if there is one; the zero Prefix if all are
// selected.
func (e Endpoints) Prefix() (addresses netip.Prefix, port uint16, hasPort bool) {
	return e.prefix, e.port, e.hasPort
}

// String returns what ParseEndpoints reads, and "" for the zero value.
func (e Endpoints) String() string {
	switch {
	case e == Endpoints{}:
		return ""
	case e.hasPort:
		return netip.AddrPortFrom(e.prefix.Addr(), e.port).String()
	case e.prefix.IsSingleIP():
		return e.prefix.Addr().String()
	}
	return e.prefix.String()
}
