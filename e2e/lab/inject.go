package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// resolveTimeout is longer than the kernel's three ARP requests a second apart.
const resolveTimeout = 4 * time.Second

// knownNeighbour are the states in which the kernel sends to a neighbour (NUD_VALID).
const knownNeighbour = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY |
	netlink.NUD_PROBE | netlink.NUD_PERMANENT | netlink.NUD_NOARP

// An Injector sends whole Ethernet frames by one interface, past the host's own IP
// stack. It is a socket that belongs to the caller. For one goroutine at a time.
type Injector struct {
	conn  *packet.Conn
	to    *packet.Addr
	where string // for errors
}

// Injector opens an Injector for one of the host's interfaces.
func (h *Host) Injector(iface string) (*Injector, error) {
	i := &Injector{where: iface + " of " + h.Name}
	err := h.inside(func() error {
		ifi, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		const receiveNothing = 0
		i.to = &packet.Addr{HardwareAddr: ifi.HardwareAddr}
		i.conn, err = packet.Listen(ifi, packet.Raw, receiveNothing, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: open injector into %s: %w", i.where, err)
	}
	return i, nil
}

// Send sends one frame, as it is: 14 bytes and more, and no more than the
// interface takes.
func (i *Injector) Send(frame []byte) error {
	if _, err := i.conn.WriteTo(frame, i.to); err != nil {
		return fmt.Errorf("lab: inject %d bytes into %s: %w", len(frame), i.where, err)
	}
	return nil
}

// Close closes the socket.
func (i *Injector) Close() error { return i.conn.Close() }

// Inject sends one frame with an Injector of its own.
func (h *Host) Inject(iface string, frame []byte) error {
	i, err := h.Injector(iface)
	if err != nil {
		return err
	}
	return errors.Join(i.Send(frame), i.Close())
}

// TCPFrame builds the frame of a TCP segment to be sent by the host's interface,
// with right lengths and checksums. The ports of segment are taken from from and
// to; from need not be the host's address.
func (h *Host) TCPFrame(iface string, from, to netip.AddrPort, segment layers.TCP, payload []byte) ([]byte, error) {
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment,
		SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
	}
	segment.SrcPort, segment.DstPort = layers.TCPPort(from.Port()), layers.TCPPort(to.Port())
	if err := segment.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, fmt.Errorf("lab: build segment: %w", err)
	}
	return h.Frame(iface, to.Addr(), ip, &segment, gopacket.Payload(payload))
}

// Frame puts an Ethernet header before IPv4 packet layers: from the interface's
// MAC to that of the next hop towards dst, which the host's kernel is made to
// ask for if it must. Lengths and checksums are computed.
func (h *Host) Frame(iface string, dst netip.Addr, packet ...gopacket.SerializableLayer) ([]byte, error) {
	ethernet := &layers.Ethernet{EthernetType: layers.EthernetTypeIPv4}
	err := h.inside(func() error { return address(ethernet, iface, dst) })
	if err != nil {
		return nil, fmt.Errorf("lab: build frame for %s by %s of %s: %w", dst, iface, h.Name, err)
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	err = gopacket.SerializeLayers(buf, options, append([]gopacket.SerializableLayer{ethernet}, packet...)...)
	if err != nil {
		return nil, fmt.Errorf("lab: build frame: %w", err)
	}
	return buf.Bytes(), nil
}

// address fills in both MACs, inside the namespace.
func address(ethernet *layers.Ethernet, iface string, dst netip.Addr) error {
	link, err := netlink.LinkByName(iface)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	hop, err := nextHop(index, dst)
	if err != nil {
		return err
	}
	ethernet.SrcMAC = link.Attrs().HardwareAddr
	ethernet.DstMAC, err = resolve(index, hop)
	return err
}

// nextHop asks the kernel which neighbour on a link leads to dst.
func nextHop(index int, dst netip.Addr) (net.IP, error) {
	routes, err := netlink.RouteGetWithOptions(dst.AsSlice(), &netlink.RouteGetOptions{OifIndex: index})
	if err != nil {
		return nil, fmt.Errorf("get route: %w", err)
	}
	if len(routes) > 0 && routes[0].Gw != nil {
		return routes[0].Gw, nil
	}
	return dst.AsSlice(), nil
}

// resolve looks a neighbour up until it is there, and makes the kernel ask.
func resolve(index int, hop net.IP) (net.HardwareAddr, error) {
	use := &netlink.Neigh{LinkIndex: index, IP: hop, Family: unix.AF_INET, Flags: netlink.NTF_USE}
	for deadline := time.Now().Add(resolveTimeout); time.Now().Before(deadline); {
		mac, err := neighbour(index, hop)
		if mac != nil || err != nil {
			return mac, err
		}
		if err := netlink.NeighSet(use); err != nil {
			return nil, fmt.Errorf("ask for neighbour %s: %w", hop, err)
		}
		time.Sleep(time.Millisecond)
	}
	return nil, fmt.Errorf("nobody answers ARP for %s", hop)
}

// neighbour returns the MAC of a neighbour that the kernel has one for.
func neighbour(index int, hop net.IP) (net.HardwareAddr, error) {
	neighbours, err := netlink.NeighList(index, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	for _, n := range neighbours {
		if n.IP.Equal(hop) && n.State&knownNeighbour != 0 {
			return n.HardwareAddr, nil
		}
	}
	return nil, nil
}
