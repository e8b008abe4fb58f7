package nexthop

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// neighbourKey names a neighbour: its address and the interface it is on.
type neighbourKey struct {
	side Side
	addr packet.Addr
}

// neighbour is what the kernel knows of one.
type neighbour struct {
	mac   mac
	state neighbourState
}

type neighbourState uint8

const (
	unknown neighbourState = iota // not in the table, or being asked for the first time
	fresh                         // answered lately
	stale                         // usable, to be confirmed
	fixed                         // permanent: the operator's, never asked
	failed                        // asked and silent
)

func stateOf(nud int) neighbourState {
	switch {
	case nud&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0:
		return fixed
	case nud&(unix.NUD_REACHABLE|unix.NUD_DELAY|unix.NUD_PROBE) != 0:
		return fresh
	case nud&unix.NUD_STALE != 0:
		return stale
	case nud&unix.NUD_FAILED != 0:
		return failed
	}
	return unknown
}

// neighbourFrom converts the kernel's entry. The MAC of a failed one is left out,
// the kernel may still show the old one.
func neighbourFrom(n netlink.Neigh) neighbour {
	to := neighbour{state: stateOf(n.State)}
	switch {
	case to.state == failed:
	case len(n.HardwareAddr) == len(to.mac):
		copy(to.mac[:], n.HardwareAddr)
	default:
		to.state = unknown
	}
	return to
}

// neighbours reads the neighbours of both interfaces.
func (k kernel) neighbours(links [sides]Link) (map[neighbourKey]neighbour, error) {
	all := make(map[neighbourKey]neighbour)
	for side, l := range links {
		if l.Index == 0 {
			continue
		}
		list, err := k.handle.NeighList(l.Index, netlink.FAMILY_V4)
		if err != nil {
			return nil, fmt.Errorf("nexthop: read neighbours of %s: %w", l.Name, err)
		}
		for _, n := range list {
			if to := neighbourFrom(n); to.state != unknown {
				all[neighbourKey{side: Side(side), addr: addrOf(n.IP)}] = to
			}
		}
	}
	return all, nil
}

// use tells the kernel that the neighbour is wanted: it resolves one that it does
// not know or has given up, and probes one that is stale (neigh_event_send).
// It must not be called for a fixed neighbour, which NTF_USE would make mortal.
func (k kernel) use(link int, a packet.Addr) error {
	err := k.handle.NeighSet(&netlink.Neigh{LinkIndex: link, Family: netlink.FAMILY_V4, IP: ipOf(a), Flags: netlink.NTF_USE})
	if errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("nexthop: ask for neighbour %s: %w; the neighbour table is full, raise net.ipv4.neigh.default.gc_thresh3", a, err)
	}
	if err != nil {
		return fmt.Errorf("nexthop: ask for neighbour %s: %w", a, err)
	}
	return nil
}

// Neighbours are asked for at most this often, each.
const (
	// unresolvedAgain: the kernel sends its three ARP requests one second apart
	// (retrans_time_ms); asking sooner changes nothing.
	unresolvedAgain = time.Second
	// confirmAgain: the kernel leaves a stale neighbour that is in use for 5 s in
	// DELAY before it probes (delay_first_probe_time); until then asking again is void.
	confirmAgain = 5 * time.Second
)
