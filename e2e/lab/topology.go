package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
)

const bridge = "br0"

var (
	firstHost       = netip.MustParsePrefix("10.0.0.10/24")
	gatewayInside   = netip.MustParsePrefix("10.0.0.1/24")
	gatewayOutside  = netip.MustParsePrefix("203.0.113.1/24")
	routerOutside   = netip.MustParsePrefix("203.0.113.254/24")
	serverAddresses = []struct{ server, router netip.Prefix }{
		{netip.MustParsePrefix("198.51.100.7/24"), netip.MustParsePrefix("198.51.100.1/24")},
		{netip.MustParsePrefix("192.0.2.9/24"), netip.MustParsePrefix("192.0.2.1/24")},
	}
)

// build makes the network that the package comment draws.
func (l *Lab) build(o Options) error {
	steps := []func(Options) error{l.addHosts, l.addBridge, l.connectInside, l.connectOutside, l.addRoutes}
	for _, step := range steps {
		if err := step(o); err != nil {
			return err
		}
	}
	return l.settle()
}

func (l *Lab) addHosts(o Options) (err error) {
	if l.LAN, err = l.addHost("lan"); err != nil {
		return err
	}
	if l.Gateway, err = l.addHost("gw"); err != nil {
		return err
	}
	if l.Router, err = l.addHost("rt"); err != nil {
		return err
	}
	if l.Servers, err = l.addNumbered("s", len(serverAddresses)); err != nil {
		return err
	}
	l.Hosts, err = l.addNumbered("h", o.Hosts)
	return err
}

// addNumbered makes n hosts named letter1 to letterN.
func (l *Lab) addNumbered(letter string, n int) ([]*Host, error) {
	var hosts []*Host
	for i := range n {
		h, err := l.addHost(letter + strconv.Itoa(i+1))
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// addBridge makes a switch that only switches: no IGMP of its own, and no packet
// filter in its path where br_netfilter is loaded.
func (l *Lab) addBridge(Options) error {
	if err := l.LAN.preset("net.bridge.bridge-nf-call-iptables", "0"); err != nil {
		return err
	}
	quiet := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridge
	err := l.LAN.inside(func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &quiet})
	})
	if err != nil {
		return fmt.Errorf("lab: add bridge %s: %w", bridge, err)
	}
	return l.LAN.adopt(plug{name: bridge})
}

// connectInside plugs the gateway and the hosts into the bridge.
func (l *Lab) connectInside(o Options) error {
	if err := l.plugIntoLAN(plug{l.Gateway, "in0", gatewayInside}, o.MTU); err != nil {
		return err
	}
	addr := firstHost.Addr()
	for _, h := range l.Hosts {
		if err := l.plugIntoLAN(plug{h, "eth0", netip.PrefixFrom(addr, firstHost.Bits())}, o.MTU); err != nil {
			return err
		}
		addr = addr.Next()
	}
	return nil
}

// plugIntoLAN makes a cable from p to a bridge port named after p's host.
func (l *Lab) plugIntoLAN(p plug, mtu int) error {
	port := plug{host: l.LAN, name: p.host.Name}
	if err := cable(p, port, mtu); err != nil {
		return err
	}
	return l.LAN.setLink("join "+bridge, port.name, func(link netlink.Link) error {
		br, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(link, br)
	})
}

// connectOutside joins gateway, router and servers. The router has no reverse path
// filter, which interfaces inherit at birth: it would hide a leak from the servers.
func (l *Lab) connectOutside(o Options) error {
	err := errors.Join(
		l.Router.preset("net.ipv4.conf.all.rp_filter", "0"),
		l.Router.preset("net.ipv4.conf.default.rp_filter", "0"),
	)
	if err != nil {
		return err
	}
	err = cable(plug{l.Gateway, "out0", gatewayOutside}, plug{l.Router, "wan0", routerOutside}, o.MTU)
	for i, a := range serverAddresses {
		if err != nil {
			return err
		}
		port := plug{l.Router, "srv" + strconv.Itoa(i+1), a.router}
		err = cable(plug{l.Servers[i], "eth0", a.server}, port, o.MTU)
	}
	return err
}

// addRoutes sets default routes and lets the two routers forward. The router
// gets no route to the inside.
func (l *Lab) addRoutes(o Options) error {
	defaults := map[*Host]netip.Prefix{l.Gateway: routerOutside}
	for _, h := range l.Hosts {
		defaults[h] = gatewayInside
	}
	for i, a := range serverAddresses {
		defaults[l.Servers[i]] = a.router
	}
	for h, by := range defaults {
		err := h.inside(func() error { return netlink.RouteAdd(&netlink.Route{Gw: by.Addr().AsSlice()}) })
		if err != nil {
			return fmt.Errorf("lab: add default route by %s to %s: %w", by.Addr(), h.Name, err)
		}
	}
	if !o.NoForwarding {
		if err := l.Gateway.SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
			return err
		}
	}
	return l.Router.SetSysctl("net.ipv4.ip_forward", "1")
}
