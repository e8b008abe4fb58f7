package config

import (
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"
)

// Prefix returns the frontend's addresses; a single one is a /32.
func (f FrontendIPConfiguration) Prefix() netip.Prefix {
	switch {
	case f.PublicIPAddress.IsValid():
		return single(f.PublicIPAddress)
	case f.PrivateIPAddress.IsValid():
		return single(f.PrivateIPAddress)
	}
	return f.PublicIPPrefix
}

// Internal reports whether the frontend is answered on the inside.
func (f FrontendIPConfiguration) Internal() bool { return f.PrivateIPAddress.IsValid() }

// public is not the contrary of Internal: of a frontend whose address could not
// be read neither is known.
func (f FrontendIPConfiguration) public() bool { return f.Prefix().IsValid() && !f.Internal() }

// Size returns how many addresses the frontend has.
func (f FrontendIPConfiguration) Size() int { return size(f.Prefix()) }

// Addresses yields every address of the frontend in ascending order, the first
// and the last of a prefix too: a frontend prefix is no subnet.
func (f FrontendIPConfiguration) Addresses() iter.Seq[netip.Addr] { return addresses(f.Prefix()) }

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
	return p, checkHostBits(p)
}

// parseMember reads either.
func parseMember(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return parsePrefix(s)
	}
	a, err := parseAddress(s)
	return single(a), err
}

// parseSubnet reads what an ACL speaks of: an address, or any IPv4 prefix, that
// of all addresses too.
func parseSubnet(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		s = show(single(a.WithZone(""))) + "/" + strconv.Itoa(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%s is not an IPv4 address or prefix", quote(s))
	case !p.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("%s: IPv6 is not supported yet", show(p))
	}
	return p, checkHostBits(p)
}

func checkHostBits(p netip.Prefix) error {
	if p != p.Masked() {
		return fmt.Errorf("%s has host bits set; its prefix is %s", p, p.Masked())
	}
	return nil
}

// placeholder recognises what stands for an address or a name that whoever wrote
// the file could not know, as "<publicIPAddress of pip1>".
func placeholder(s string) bool {
	return strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">")
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
