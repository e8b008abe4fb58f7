package nexthop

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// kernel reads from the kernel what Snapshots are made of. It is used by one
// goroutine at a time.
type kernel struct {
	handle *netlink.Handle
}

// kernelTimeout bounds one netlink answer. The kernel answers in microseconds;
// waiting longer means that the message is lost.
const kernelTimeout = 5 * time.Second

func openKernel() (kernel, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return kernel{}, fmt.Errorf("nexthop: open netlink: %w", err)
	}
	if err := h.SetSocketTimeout(kernelTimeout); err != nil {
		h.Close()
		return kernel{}, fmt.Errorf("nexthop: set netlink timeout: %w", err)
	}
	return kernel{handle: h}, nil
}

// find returns the interface of that name, which has to be an Ethernet one.
func (k kernel) find(side Side, name string) (Link, error) {
	l, err := k.handle.LinkByName(name)
	if err != nil {
		return Link{}, fmt.Errorf("nexthop: find %s interface %q: %w; name one that `ip link` shows as gateway.%s.interface", side, name, err, side)
	}
	if a := l.Attrs(); a.EncapType != "ether" {
		return Link{}, fmt.Errorf("nexthop: use %s interface %s: it is of type %s, not Ethernet; use datapath tun", side, name, a.EncapType)
	}
	return k.link(l), nil
}

// refresh reads a link again, by its index. One that is gone comes back down and
// with index 0.
func (k kernel) refresh(old Link) (Link, error) {
	if old.Index == 0 {
		return old, nil
	}
	l, err := k.handle.LinkByIndex(old.Index)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		old.Index, old.Up = 0, false
		return old, nil
	}
	if err != nil {
		return old, fmt.Errorf("nexthop: read interface %s: %w", old.Name, err)
	}
	return k.link(l), nil
}

func (k kernel) link(l netlink.Link) Link {
	const up = unix.IFF_UP | unix.IFF_LOWER_UP
	a := l.Attrs()
	return Link{Name: a.Name, Index: a.Index, MAC: a.HardwareAddr, MTU: a.MTU,
		Up: a.RawFlags&up == up, Address: k.address(l)}
}

// address returns the first address of l, 0 if there is none or l went away just now.
func (k kernel) address(l netlink.Link) packet.Addr {
	addrs, err := k.handle.AddrList(l, netlink.FAMILY_V4)
	if err != nil || len(addrs) == 0 {
		return 0
	}
	return addrOf(addrs[0].IP)
}

// tables in the order in which the three default rules ask them.
var tables = [...]int{unix.RT_TABLE_LOCAL, unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT}

// routes reads the tables and flattens them.
func (k kernel) routes(links [sides]Link) (routes, error) {
	r := routes{spans: []span{{}}}
	var read [len(tables)][]route
	all := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	err := k.handle.RouteListFilteredIter(netlink.FAMILY_V4, all, netlink.RT_FILTER_TABLE, func(nr netlink.Route) bool {
		if t := slices.Index(tables[:], nr.Table); t >= 0 {
			read[t] = r.add(read[t], nr, links)
		}
		return true
	})
	if err != nil {
		return routes{}, fmt.Errorf("nexthop: read routes: %w", err)
	}
	for _, table := range slices.Backward(read[:]) {
		r.spans = overlay(flatten(table), r.spans)
	}
	r.nameGateways()
	return r, nil
}

// add appends what the kernel's route means, if it is usable.
func (r *routes) add(table []route, nr netlink.Route, links [sides]Link) []route {
	if nr.Tos != 0 || nr.Dst == nil {
		return table
	}
	to, ok := r.target(nr, links)
	if !ok {
		return table
	}
	bits, _ := nr.Dst.Mask.Size()
	return append(table, route{start: addrOf(nr.Dst.IP), bits: bits, metric: nr.Priority, to: to})
}

// target says what the route means. It is not ok if the kernel would skip the
// route, too.
func (r *routes) target(nr netlink.Route, links [sides]Link) (to target, ok bool) {
	switch nr.Type {
	case unix.RTN_UNICAST:
		return r.unicast(nr, links)
	case unix.RTN_LOCAL, unix.RTN_BROADCAST: // a directed broadcast is not routed (RFC 2644)
		return target{status: Elsewhere, local: true}, true
	case unix.RTN_UNREACHABLE:
		return target{status: Unreachable}, true
	case unix.RTN_THROW:
		return target{}, true
	}
	return target{status: Elsewhere}, true
}

// unicast takes the first nexthop that lives and is one of ours.
func (r *routes) unicast(nr netlink.Route, links [sides]Link) (to target, ok bool) {
	for _, nh := range nexthops(nr) {
		if nh.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 {
			continue
		}
		side, ours := sideOf(links, nh.LinkIndex)
		if !ours || nh.Via != nil || nh.Encap != nil {
			to, ok = target{status: Elsewhere}, true
		} else if links[side].Up {
			l := leg{side: side, mtu: links[side].MTU}
			if nr.MTU > 0 {
				l.mtu = min(l.mtu, nr.MTU)
			}
			return target{status: Resolved, leg: r.legOf(l), gateway: addrOf(nh.Gw)}, true
		}
	}
	return to, ok
}

// sideOf returns the side of the interface with that index, if it is one of ours.
func sideOf(links [sides]Link, index int) (Side, bool) {
	side := slices.IndexFunc(links[:], func(l Link) bool { return l.Index == index })
	return Side(max(side, 0)), side >= 0 && index != 0
}

func nexthops(nr netlink.Route) []*netlink.NexthopInfo {
	if len(nr.MultiPath) > 0 {
		return nr.MultiPath
	}
	return []*netlink.NexthopInfo{{LinkIndex: nr.LinkIndex, Gw: nr.Gw, Via: nr.Via, Encap: nr.Encap, Flags: nr.Flags}}
}

// nameGateways collects the gateways of all spans, each once.
func (r *routes) nameGateways() {
	seen := make(map[neighbourKey]struct{})
	for _, s := range r.spans {
		if s.to.gateway != 0 {
			seen[neighbourKey{side: r.legs[s.to.leg].side, addr: s.to.gateway}] = struct{}{}
		}
	}
	for g := range seen {
		r.gateways = append(r.gateways, g)
	}
	slices.SortFunc(r.gateways, func(a, b neighbourKey) int {
		return cmp.Or(cmp.Compare(a.side, b.side), cmp.Compare(a.addr, b.addr))
	})
}

// addrOf returns 0 for no address and for one that is not IPv4.
func addrOf(ip net.IP) packet.Addr {
	if ip = ip.To4(); ip == nil {
		return 0
	}
	return packet.Addr(ip[0])<<24 | packet.Addr(ip[1])<<16 | packet.Addr(ip[2])<<8 | packet.Addr(ip[3])
}

func ipOf(a packet.Addr) net.IP { return net.IPv4(byte(a>>24), byte(a>>16), byte(a>>8), byte(a)).To4() }
