package config

import (
	"fmt"
	"iter"
	"net/netip"
	"strings"
)

// PoolAddress is one entry of a pool: an address, held as a /32, or a prefix.
type PoolAddress struct{ netip.Prefix }

// String returns the entry as the file gives it: an address without "/32".
func (p PoolAddress) String() string { return show(p.Prefix) }

// Prefix returns the frontend's addresses; a single one is a /32.
func (f FrontendIPConfiguration) Prefix() netip.Prefix {
	if f.PublicIPAddress.IsValid() {
		return single(f.PublicIPAddress)
	}
	return f.PublicIPPrefix
}

// Size returns how many addresses the frontend has.
func (f FrontendIPConfiguration) Size() int { return size(f.Prefix()) }

// Addresses yields every address of the frontend in ascending order, the first
// and the last of a prefix too: a frontend prefix is no subnet.
func (f FrontendIPConfiguration) Addresses() iter.Seq[netip.Addr] { return addresses(f.Prefix()) }

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
		for _, entry := range p.Addresses {
			for a := range addresses(entry.Prefix) {
				if !yield(a) {
					return
				}
			}
		}
	}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// size is 0 for the zero Prefix.
func size(p netip.Prefix) int {
	if !p.IsValid() {
		return 0
	}
	return 1 << (p.Addr().BitLen() - p.Bits())
}

func addresses(p netip.Prefix) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for a := p.Addr(); p.Contains(a) && yield(a); a = a.Next() {
		}
	}
}

func show(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// notUnicast can neither send nor be sent to through a gateway: this network,
// loopback, multicast, and reserved with broadcast (RFC 6890 §2.2.2, RFC 5771).
var notUnicast = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// parseAddress reads one IPv4 unicast address.
func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		if _, err := netip.ParsePrefix(s); err == nil {
			return netip.Addr{}, fmt.Errorf("%s is a prefix; a single address is needed", s)
		}
		return netip.Addr{}, fmt.Errorf("%s is not an IPv4 address", quote(s))
	}
	return a, checkUnicast(single(a.WithZone("")))
}

// parsePrefix reads an IPv4 unicast prefix whose host bits are zero.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			return netip.Prefix{}, fmt.Errorf("%s is a single address; a prefix is written %s/32", s, s)
		}
		return netip.Prefix{}, fmt.Errorf("%s is not an IPv4 prefix", quote(s))
	}
	if err := checkUnicast(p); err != nil {
		return netip.Prefix{}, err
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has host bits set; its prefix is %s", s, p.Masked())
	}
	return p, nil
}

// parsePoolAddress reads either.
func parsePoolAddress(s string) (PoolAddress, error) {
	if strings.Contains(s, "/") {
		p, err := parsePrefix(s)
		return PoolAddress{p}, err
	}
	a, err := parseAddress(s)
	return PoolAddress{single(a)}, err
}

func checkUnicast(p netip.Prefix) error {
	if !p.Addr().Is4() {
		return fmt.Errorf("%s: IPv6 is not supported yet", show(p))
	}
	for _, bad := range notUnicast {
		if p.Overlaps(bad) {
			return fmt.Errorf("%s is not unicast: it lies in or covers %s", show(p), bad)
		}
	}
	return nil
}
