package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
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

// A plug is one end of a cable.
type plug struct {
	host   *Host
	name   string
	prefix netip.Prefix // the zero Prefix: no address
}

// cable joins a and b by a veth pair made in place, so that no end of it is ever
// in the namespace of the caller, where names collide and daemons watch.
func cable(a, b plug, mtu int) error {
	far, err := netns.GetFromName(b.host.Namespace())
	if err != nil {
		return fmt.Errorf("lab: open namespace of %s: %w", b.host.Name, err)
	}
	defer far.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = a.name, mtu, a.mac()
	err = a.host.inside(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: b.name, PeerHardwareAddr: b.mac(), PeerNamespace: netlink.NsFd(far),
		})
	})
	if err != nil {
		return fmt.Errorf("lab: add link %s of %s with MTU %d: %w", a.name, a.host.Name, mtu, err)
	}
	if err := a.host.adopt(a); err != nil {
		return err
	}
	return b.host.adopt(b)
}

// mac is a locally administered address that spells the IPv4 address, so that a
// capture reads easily; nil, which lets the kernel choose, without one.
func (p plug) mac() net.HardwareAddr {
	if !p.prefix.IsValid() {
		return nil
	}
	return append(net.HardwareAddr{0x02, 0x00}, p.prefix.Addr().AsSlice()...)
}

// adopt gives the new interface its address, sets it up and records it.
func (h *Host) adopt(p plug) error {
	return h.setLink("set up", p.name, func(link netlink.Link) error {
		if p.prefix.IsValid() {
			ipnet := &net.IPNet{IP: p.prefix.Addr().AsSlice(), Mask: net.CIDRMask(p.prefix.Bits(), 32)}
			if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipnet}); err != nil {
				return fmt.Errorf("add %s: %w", p.prefix, err)
			}
			if !h.Addr.IsValid() {
				h.Addr = p.prefix.Addr()
			}
		}
		h.Interfaces = append(h.Interfaces, Interface{Name: p.name, MAC: link.Attrs().HardwareAddr, Prefix: p.prefix})
		return netlink.LinkSetUp(link)
	})
}

// settleTimeout is long for a kernel that takes up to a second between two
// rounds of looking after links, and may be busy removing other labs.
const settleTimeout = 10 * time.Second

// settle waits until every interface with a carrier can send. The kernel sees to
// that in the background after it set one up, and drops packets until then: the
// first ARP reply would be lost, and a second with it.
func (l *Lab) settle() error {
	deadline := time.Now().Add(settleTimeout)
	for _, h := range l.running() {
		for {
			waiting, err := h.unsettled()
			if err != nil {
				return fmt.Errorf("lab: list links of %s: %w", h.Name, err)
			}
			if waiting == "" {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("lab: set up %s of %s: the kernel does not use it yet", waiting, h.Name)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// unsettled names an interface that has a carrier and can't send yet.
func (h *Host) unsettled() (name string, err error) {
	err = h.inside(func() error {
		links, err := netlink.LinkList()
		for _, link := range links {
			flags := link.Attrs().RawFlags
			if flags&unix.IFF_LOWER_UP != 0 && flags&unix.IFF_RUNNING == 0 {
				name = link.Attrs().Name
			}
		}
		return err
	})
	return name, err
}
