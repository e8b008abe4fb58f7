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
	tun, own := c.Gateway.TUN.Name, addressOf(outside)
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
	for f := range frontendAddresses(c) {
		p.line("ip route add %v/32 dev %s table 101", f, tun)
		p.line("ip route add %v/32 dev %s src %s", f, tun, own)
	}
	return p.err
}

// addressOf returns the interface's own IPv4 address, or a word that asks for it
// where the file is read on another machine.
func addressOf(name string) string {
	if i, err := net.InterfaceByName(name); err == nil {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				return p.Addr().String()
			}
		}
	}
	return "ADDRESS-OF-" + name
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func frontendAddresses(c *config.Config) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, f := range c.FrontendIPConfigurations {
			for a := range f.Addresses() {
				if !yield(a) {
					return
				}
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
