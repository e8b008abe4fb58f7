package nexthop

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// eventBuffer is the receive buffer of the event socket in bytes: a few thousand
// events. More than that costs no more than reading everything again.
const eventBuffer = 2 << 20

// eventGroups: what a Snapshot is made of can change with any of these.
var eventGroups = []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_NEXTHOP}

// event is a change that the kernel reports. Only one of a neighbour says all
// there is to know; the others say that it is time to read again.
type event struct {
	neighbour *netlink.Neigh // nil: read links and routes again
	deleted   bool           // the neighbour is gone
	lost      bool           // events were lost: read neighbours again, too
}

// events is the socket on which the kernel reports changes.
type events struct {
	socket *nl.NetlinkSocket
}

func openEvents() (events, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, eventGroups...)
	if err != nil {
		return events{}, fmt.Errorf("nexthop: subscribe to route events: %w", err)
	}
	if s.SetReceiveBufferSize(eventBuffer, true) != nil { // needs CAP_NET_ADMIN of the host
		_ = s.SetReceiveBufferSize(eventBuffer, false)
	}
	return events{socket: s}, nil
}

// read passes events on until stop is closed and the socket with it.
func (e events) read(to chan<- event, stop <-chan struct{}) error {
	for {
		msgs, from, err := e.socket.Receive()
		switch {
		case closed(stop):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			if !send(to, event{lost: true}, stop) {
				return nil
			}
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("nexthop: receive route events: %w", err)
		case from.Pid == nl.PidKernel:
			for _, m := range msgs {
				if ev, ok := parseEvent(m.Header.Type, m.Data); ok && !send(to, ev, stop) {
					return nil
				}
			}
		}
	}
}

func send(to chan<- event, e event, stop <-chan struct{}) bool {
	select {
	case to <- e:
		return true
	case <-stop:
		return false
	}
}

func parseEvent(kind uint16, b []byte) (event, bool) {
	if kind != unix.RTM_NEWNEIGH && kind != unix.RTM_DELNEIGH {
		return event{}, true
	}
	n, err := netlink.NeighDeserialize(b)
	if err != nil || n.Family != netlink.FAMILY_V4 {
		return event{}, false
	}
	return event{neighbour: n, deleted: kind == unix.RTM_DELNEIGH}, true
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
