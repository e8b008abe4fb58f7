package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

// labName starts the names of the namespaces, by which a later run finds those
// that a killed one left.
const labName = "tgbench"

var (
	clientAddr   = netip.MustParseAddr("10.0.0.10")
	craftedAddr  = netip.MustParseAddr("10.0.0.11") // a client that is made of crafted frames only
	insideAddr   = netip.MustParseAddr("10.0.0.1")
	outsideAddr  = netip.MustParseAddr("203.0.113.1")
	frontendAddr = netip.MustParseAddr("203.0.113.5")
	serverAddr   = netip.MustParseAddr("203.0.113.254")
	farPrefix    = netip.MustParsePrefix("198.18.0.0/15") // behind the server: RFC 2544 appendix C.2.2
)

// The interfaces' names.
const (
	clientLink  = "eth0"
	insideLink  = "in0"
	outsideLink = "out0"
	serverLink  = "wan0"
)

// row is client, gateway and server, each a namespace.
type row struct {
	client, gw, server node
	lab                *lab.Lab
	dir                string // for the gateway's files; gone with the row
}

// node is a host of the row, with a netlink socket in its namespace.
type node struct {
	*lab.Host
	netlink *netlink.Handle
}

func newNode(h *lab.Host) (n node, err error) {
	n.Host = h
	err = h.Do(func() (err error) {
		n.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
		return err
	})
	return n, err
}

// newRow takes a lab of one host, its gateway and its router, who plays the server,
// and replaces the bridge between host and gateway by a cable.
func newRow() (*row, error) {
	l, err := lab.New(lab.Options{Name: labName, Hosts: 1})
	if err != nil {
		return nil, err
	}
	r := &row{lab: l}
	if err := r.build(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *row) build() error {
	for _, step := range []func() error{r.openNodes, r.makeDir, r.replaceBridge, r.setNeighbours, r.setServer} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) openNodes() (err error) {
	for n, h := range map[*node]*lab.Host{&r.client: r.lab.Hosts[0], &r.gw: r.lab.Gateway, &r.server: r.lab.Router} {
		if *n, err = newNode(h); err != nil {
			return fmt.Errorf("bench: open netlink of %s: %w", h.Name, err)
		}
	}
	return nil
}

func (r *row) makeDir() (err error) {
	if r.dir, err = os.MkdirTemp(stateDir, "row-"); err != nil {
		return fmt.Errorf("bench: make directory: %w", err)
	}
	return nil
}

// replaceBridge joins client and gateway directly, with the names and addresses
// that they had on the bridge.
func (r *row) replaceBridge() error {
	near, far := r.client.Interface(clientLink), r.gw.Interface(insideLink)
	gateway, err := netns.GetFromName(r.gw.Namespace())
	if err != nil {
		return fmt.Errorf("bench: open namespace of gateway: %w", err)
	}
	defer gateway.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = near.Name, near.MAC
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: far.Name, PeerHardwareAddr: far.MAC, PeerNamespace: netlink.NsFd(gateway),
	}
	err = errors.Join(unplug(r.client, near.Name), unplug(r.gw, far.Name), r.client.netlink.LinkAdd(veth),
		address(r.client, near), address(r.gw, far))
	if err != nil {
		return fmt.Errorf("bench: connect client and gateway: %w", err)
	}
	if err := r.client.netlink.RouteAdd(&netlink.Route{Gw: insideAddr.AsSlice()}); err != nil {
		return fmt.Errorf("bench: add client's default route: %w", err)
	}
	return nil
}

func unplug(n node, name string) error {
	link, err := n.netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return n.netlink.LinkDel(link)
}

func address(n node, i lab.Interface) error {
	link, err := n.netlink.LinkByName(i.Name)
	if err != nil {
		return err
	}
	ipnet := &net.IPNet{IP: i.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(i.Prefix.Bits(), 32)}
	return errors.Join(n.netlink.AddrAdd(link, &netlink.Addr{IPNet: ipnet}), n.SetUp(i.Name))
}

// setNeighbours tells everybody who is where, the frontend's address included.
func (r *row) setNeighbours() error {
	inside, outside := r.gw.Interface(insideLink).MAC, r.gw.Interface(outsideLink).MAC
	client, server := r.client.Interface(clientLink).MAC, r.server.Interface(serverLink).MAC
	return errors.Join(
		neighbour(r.client, clientLink, insideAddr, inside),
		neighbour(r.gw, insideLink, clientAddr, client),
		neighbour(r.gw, insideLink, craftedAddr, client),
		neighbour(r.gw, outsideLink, serverAddr, server),
		neighbour(r.server, serverLink, outsideAddr, outside),
		neighbour(r.server, serverLink, frontendAddr, outside),
	)
}

func neighbour(n node, iface string, addr netip.Addr, mac net.HardwareAddr) error {
	link, err := n.netlink.LinkByName(iface)
	if err == nil {
		err = n.netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
			IP: addr.AsSlice(), HardwareAddr: mac,
		})
	}
	if err != nil {
		return fmt.Errorf("bench: set neighbour %s of %s: %w", addr, n.Name, err)
	}
	return nil
}

// setServer makes the router a host: what is for the far prefix is read by the
// measurement's own sockets and ignored by the kernel. The client gets enough ports.
func (r *row) setServer() error {
	return errors.Join(
		r.server.SetSysctl("net.ipv4.ip_forward", "0"),
		r.client.SetSysctl("net.ipv4.ip_local_port_range", "1024 65535"),
	)
}

// routeBack tells the server the way to the inside, for a gateway that does not
// translate.
func (r *row) routeBack() error {
	inside := &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(24, 32)}
	if err := r.server.netlink.RouteAdd(&netlink.Route{Dst: inside, Gw: outsideAddr.AsSlice()}); err != nil {
		return fmt.Errorf("bench: add server's route back: %w", err)
	}
	return nil
}

// loadNFT loads an nftables ruleset into a host's namespace.
func (r *row) loadNFT(ctx context.Context, n node, rules string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	p, err := n.Start(cmd)
	if err != nil {
		return err
	}
	if err := p.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, p.Output())
	}
	return nil
}

// verifyPath sends datagrams from client to server until one arrives, and wants it
// to come from the given address: a gateway that passes packets on without
// translating them would be fast for nothing.
func (r *row) verifyPath(want netip.Addr) error {
	at := netip.AddrPortFrom(serverAddr, 7).String()
	server, err := r.server.ListenPacket("udp4", at)
	if err != nil {
		return err
	}
	defer server.Close()
	client, err := r.client.Dial(context.Background(), "udp4", at)
	if err != nil {
		return err
	}
	defer client.Close()
	for range 20 {
		if _, err := client.Write([]byte("path?")); err != nil {
			return fmt.Errorf("bench: send through gateway: %w", err)
		}
		server.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, from, err := server.ReadFrom(make([]byte, 16))
		if err != nil {
			continue
		}
		if got := from.(*net.UDPAddr).AddrPort().Addr(); got != want {
			return fmt.Errorf("bench: send through gateway: arrived from %s, want %s", got, want)
		}
		return nil
	}
	return errors.New("bench: send through gateway: nothing arrives")
}

// close ends what runs in the row and removes it. Flows are removed first: left to
// the end of the namespace, the kernel would do that in the background, in the
// next leg's time.
func (r *row) close() error {
	for _, n := range []node{r.gw, r.client, r.server} {
		if n.netlink != nil {
			n.netlink.ConntrackTableFlush(netlink.ConntrackTable) // fails where nothing is tracked
			n.netlink.Close()
		}
	}
	err := r.lab.Close()
	if r.dir != "" {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}
