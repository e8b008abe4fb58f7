package nexthop

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/nftables"
	nfnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// guardTable is the name of the nftables table, family netdev.
const guardTable = "tidegate"

// guardTimeout bounds one answer of nf_tables. A transaction takes milliseconds.
const guardTimeout = 10 * time.Second

// guardBuffer holds the transaction, which is sent as one message: about 350
// bytes for each frontend with two inbound rules. The kernel takes what is used.
const guardBuffer = 16 << 20

// Guarded says what of some frontend addresses belongs to the gateway. Of a host
// that carries them the rest stays its own.
type Guarded struct {
	Addresses netip.Prefix
	All       bool    // everything: an instance-level public IP, HA ports
	Outbound  bool    // SNAT ports 1024–65023, TCP and UDP: the address has an outbound rule
	Inbound   []Ports // one or more for each inbound NAT or load-balancing rule
}

// Ports is an inclusive range of destination ports, host byte order.
type Ports struct {
	Protocol    packet.Protocol // TCP or UDP
	First, Last uint16
}

// GuardOptions says what InstallGuard guards.
type GuardOptions struct {
	Inside, Outside string // interface names
	Frontends       []Guarded
}

// Guard is an nftables table that keeps the host's kernel from forwarding what
// comes in on the gateway's interfaces and from answering or resetting what
// belongs to the gateway. It drops IPv4 only, at ingress: after packet sockets and
// tc have seen the packet, before the kernel's stack does. Frames for another host,
// of another VLAN and what is not IPv4 pass. For a VLAN that is put on top of one of
// the interfaces later, InstallGuard has to be called again.
//
// The table outlives the process, so that nothing leaks after a crash either.
// `nft list table netdev tidegate` shows how much it dropped. Watch keeps it there.
type Guard struct {
	// Adopted says that the table was there before: a gateway had been killed.
	Adopted bool

	mu      sync.Mutex // held while the table is replaced
	options GuardOptions
}

// InstallGuard puts the table in place. One that is there, from an earlier call or
// a process that was killed, is replaced in the same transaction: there is no
// moment without.
func InstallGuard(o GuardOptions) (*Guard, error) {
	adopted, err := install(o)
	if err != nil {
		return nil, err
	}
	return &Guard{Adopted: adopted, options: o}, nil
}

// Update guards something else from now on; there is no moment without. An error
// changes nothing.
func (g *Guard) Update(o GuardOptions) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := install(o); err != nil {
		return err
	}
	g.options = o
	return nil
}

// install puts the table in place, and says whether there was one.
func install(o GuardOptions) (adopted bool, err error) {
	interfaces, err := findIngress(o)
	if err != nil {
		return false, err
	}
	tx, err := openGuardTx()
	if err != nil {
		return false, err
	}
	if err := tx.build(interfaces, disjoint(o.Frontends)); err != nil {
		return false, fmt.Errorf("nexthop: encode guard: %w", err)
	}
	if err := tx.Flush(); err != nil {
		return false, explainGuard("install guard", err)
	}
	return tx.adopted, nil
}

// findIngress looks for the interfaces, since nf_tables (6.16) accepts names of
// none, and for VLANs on them.
func findIngress(o GuardOptions) (found []ingress, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return found, fmt.Errorf("nexthop: list interfaces to guard: %w", err)
	}
	for side, name := range [sides]string{o.Inside, o.Outside} {
		i := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Attrs().Name == name })
		if i < 0 {
			return found, fmt.Errorf("nexthop: guard %s interface %q: there is no such interface", Side(side), name)
		}
		found = append(found, ingress{chain: Side(side).String(), device: name, vlans: hasVLANs(links, links[i].Attrs().Index)})
	}
	return found, nil
}

func hasVLANs(links []netlink.Link, parent int) bool {
	return slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Type() == "vlan" && l.Attrs().ParentIndex == parent })
}

// Close removes the table: the kernel forwards and answers again.
func (g *Guard) Close() error {
	tx, err := openGuardTx()
	if err != nil {
		return err
	}
	tx.DelTable(tx.table)
	if err := tx.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return explainGuard("remove guard", err)
	}
	return nil
}

// openGuardTx asks one question first: without nf_tables a transaction gets
// fewer answers than the library waits for. The answer tells if the table is there.
func openGuardTx() (*guardTx, error) {
	c, err := nftables.New(nftables.WithSockOptions(func(s *nfnetlink.Conn) error {
		return errors.Join(s.SetWriteBuffer(guardBuffer), s.SetDeadline(time.Now().Add(guardTimeout)))
	}))
	if err != nil {
		return nil, explainGuard("open nf_tables", err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return nil, explainGuard("open nf_tables", err)
	}
	adopted := slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == guardTable })
	return &guardTx{Conn: c, adopted: adopted, table: &nftables.Table{Name: guardTable, Family: nftables.TableFamilyNetdev}}, nil
}

// explainGuard adds the remedy.
func explainGuard(op string, err error) error {
	remedy := "load the modules nf_tables and nft_fib_netdev, or use datapath tun"
	switch {
	case errors.Is(err, unix.EPERM):
		remedy = "grant CAP_NET_ADMIN"
	case errors.Is(err, unix.EMSGSIZE):
		remedy = "raise net.core.wmem_max, or have fewer frontend addresses"
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		remedy = "see `nft list table netdev " + guardTable + "`"
	}
	return fmt.Errorf("nexthop: %s: %w; %s", op, err, remedy)
}
