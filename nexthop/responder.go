package nexthop

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	socket "github.com/mdlayher/packet"
	"golang.org/x/time/rate"

	"tidegate/packet"
)

const (
	// announceTimes and announceEvery: two announcements two seconds apart
	// (RFC 5227 §1.1 ANNOUNCE_NUM, ANNOUNCE_INTERVAL), and a third for a port of a
	// switch that takes its time to forward.
	announceTimes = 3
	announceEvery = 2 * time.Second
	// announceBatch announcements are sent at once, then nothing for a
	// millisecond, so that a large prefix does not flood the segment.
	announceBatch = 32
	// conflictEvery is how often conflicts are logged.
	conflictEvery = 10 * time.Second
	// brokenPause keeps a socket whose interface is down or gone from spinning.
	brokenPause = 100 * time.Millisecond
)

// responder answers ARP on one interface for addresses that the host does not carry.
// [I] immutable, [A] atomic.
type responder struct {
	table     *Table                         // [I]
	side      Side                           // [I]
	conn      *socket.Conn                   // [I]
	frontends atomic.Pointer[[]netip.Prefix] // [A] never nil
	kick      chan struct{}                  // [I] capacity 1: announce
	conflicts rate.Sometimes                 // has its own lock
}

func openResponder(t *Table, l Link, side Side) (*responder, error) {
	filter, err := arpFilter(l.Index)
	if err != nil {
		return nil, fmt.Errorf("nexthop: assemble ARP filter: %w", err)
	}
	c, err := socket.Listen(&net.Interface{Index: l.Index}, socket.Raw, etherTypeARP, &socket.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("nexthop: open ARP socket on %s: %w; run as root or with CAP_NET_RAW and CAP_NET_ADMIN", l.Name, err)
	}
	r := &responder{table: t, side: side, conn: c, kick: make(chan struct{}, 1),
		conflicts: rate.Sometimes{Interval: conflictEvery}}
	r.frontends.Store(new([]netip.Prefix))
	return r, nil
}

// own replaces the addresses that are answered for.
func (r *responder) own(frontends []netip.Prefix) {
	f := slices.Clone(frontends)
	if old := r.frontends.Swap(&f); !slices.Equal(*old, f) {
		signal(r.kick)
	}
}

// owns reports whether a is answered for here and now.
func (r *responder) owns(a packet.Addr) bool {
	addr := a.Netip()
	covered := slices.ContainsFunc(*r.frontends.Load(), func(p netip.Prefix) bool { return p.Contains(addr) })
	return covered && !r.table.Snapshot().Carried(a)
}

// mac is the current one: an operator may change it at any time.
func (r *responder) mac() (m mac) {
	copy(m[:], r.table.Snapshot().links[r.side].MAC)
	return m
}

// answer replies to requests until the Table is done.
func (r *responder) answer() error {
	b := make([]byte, 256)
	for {
		n, _, err := r.conn.ReadFrom(b)
		if closed(r.table.stop) {
			return nil
		}
		if err != nil { // ENETDOWN, once for each time the interface goes down
			r.pause(brokenPause)
			continue
		}
		if a, ok := parseARP(b[:n]); ok {
			r.receive(a)
		}
	}
}

// receive answers requests and probes, whose sender is 0.0.0.0, and tells of
// others who use an address that is ours.
func (r *responder) receive(a arp) {
	own := r.mac()
	switch {
	case a.senderMAC == own:
	case r.owns(a.sender):
		r.conflicts.Do(func() {
			r.table.log.Error("another host uses a frontend address, remove it there", "address", a.sender.String(),
				"mac", net.HardwareAddr(a.senderMAC[:]).String(), "side", r.side.String())
		})
	case a.op == arpRequest && r.owns(a.target):
		r.send(a.reply(own))
	}
}

// announce announces all addresses when kicked, and starts over when kicked again.
func (r *responder) announce() error {
	for left := 0; ; left-- {
		var next <-chan time.Time
		if left > 0 {
			r.announceAll()
			next = time.After(announceEvery)
		}
		select {
		case <-r.table.stop:
			return nil
		case <-r.kick:
			left = announceTimes + 1
		case <-next:
		}
	}
}

func (r *responder) announceAll() {
	own, sent := r.mac(), 0
	for _, p := range *r.frontends.Load() {
		for a := p.Masked().Addr(); p.Contains(a) && !closed(r.table.stop); a = a.Next() {
			if addr := packet.AddrFrom(a); r.owns(addr) {
				r.send(announcement(own, addr))
				if sent++; sent%announceBatch == 0 {
					r.pause(time.Millisecond)
				}
			}
		}
	}
}

// send drops what cannot be sent: the interface is down, and when it comes up
// everything is announced, or the queue is full, and the other side asks again.
func (r *responder) send(a arp) {
	_, _ = r.conn.WriteTo(a.frame(), &socket.Addr{HardwareAddr: a.destination[:]})
}

func (r *responder) pause(d time.Duration) {
	select {
	case <-r.table.stop:
	case <-time.After(d):
	}
}
