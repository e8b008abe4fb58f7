package main

import (
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"

	"tidegate/config"
)

// backstop is a metric behind every route that anybody would set: the highest
// that leaves the topmost nibble alone.
const backstop = 4278198272

// printRoutes writes the commands that lead packets through the TUN device, and
// keep them from passing by while the gateway is away.
func printRoutes(w io.Writer, c *config.Config) error {
	inside, outside := orElse(c.Gateway.Inside.Name, "INSIDE"), orElse(c.Gateway.Outside.Name, "OUTSIDE")
	tun := c.Gateway.TUN.Name
	p := &printer{w: w}
	p.line("sysctl net.ipv4.ip_forward=1")
	p.line("ip rule add iif %s lookup 100 pref 100;  ip route add blackhole default table 100 metric %d     # nothing passes while the gateway is away", inside, backstop)
	p.line("ip rule add iif %s lookup 101 pref 101; ip route add blackhole default table 101 metric %d", outside, backstop)
	for f := range frontendAddresses(c) {
		p.line("ip route add blackhole %v/32 metric %d", f, backstop)
	}
	p.line("# once ready")
	p.line("sysctl net.ipv4.conf.%s.accept_local=1", tun)
	p.line("ip route add default dev %s table 100", tun)
	for f, internal := range frontendAddresses(c) {
		if internal { // not to be reached from the outside; inside, ARP is answered for it
			// The kernel would let those who ask wait for up to 0.8 s (arp(7)).
			p.line("ip neigh add proxy %v dev %s; sysctl net/ipv4/neigh/%s/proxy_delay=0", f, inside, inside)
			p.line("ip route add %v/32 dev %s src %s", f, tun, ownAddress(inside))
			continue
		}
		p.line("ip route add %v/32 dev %s table 101", f, tun)
		p.line("ip route add %v/32 dev %s src %s", f, tun, ownAddress(outside))
	}
	return p.err
}

// ownAddress is an interface's own address, or a word that asks for it where the
// file is read on another machine.
func ownAddress(name string) string {
	if a := addressOf(name); a.IsValid() {
		return a.String()
	}
	return "ADDRESS-OF-" + name
}

// addressOf returns the interface's own IPv4 address, the zero Addr if it has none
// or is on another machine.
func addressOf(name string) netip.Addr {
	if i, err := net.InterfaceByName(name); err == nil {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				return p.Addr()
			}
		}
	}
	return netip.Addr{}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// frontendAddresses yields every address that the gateway answers for, and whether
// it does so on the inside.
func frontendAddresses(c *config.Config) iter.Seq2[netip.Addr, bool] {
	return func(yield func(netip.Addr, bool) bool) {
		for _, f := range c.FrontendIPConfigurations {
			for a := range f.Addresses() {
				if !yield(a, f.Internal()) {
					return
				}
			}
		}
		for _, i := range c.InstancePublicIPs {
			if !yield(i.PublicIPAddress, false) {
				return
			}
		}
	}
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
