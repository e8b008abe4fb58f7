package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

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

// SetUp sets an interface up and waits until the kernel uses it, and whatever it
// is connected to.
func (h *Host) SetUp(iface string) error {
	if err := h.setLink("set up", iface, netlink.LinkSetUp); err != nil {
		return err
	}
	return h.lab.settle()
}

// SetDown sets an interface down; the kernel drops the routes over it.
func (h *Host) SetDown(iface string) error {
	return h.setLink("set down", iface, netlink.LinkSetDown)
}

// SetMTU sets how many bytes a packet may have on an interface, its IP header
// included. The cable's other end keeps its own.
func (h *Host) SetMTU(iface string, mtu int) error {
	return h.setLink("set MTU", iface, func(link netlink.Link) error { return netlink.LinkSetMTU(link, mtu) })
}

// setLink changes an interface inside the namespace.
func (h *Host) setLink(op, iface string, change func(netlink.Link) error) error {
	err := h.inside(func() error {
		link, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		return change(link)
	})
	if err != nil {
		return fmt.Errorf("lab: %s %s of %s: %w", op, iface, h.Name, err)
	}
	return nil
}
