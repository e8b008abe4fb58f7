package nat_test

import (
	"testing"

	"tidegate/nat"
	"tidegate/packet"
)

const (
	public  packet.Addr = 0xcb007105 // 203.0.113.5
	second  packet.Addr = 0xcb007106
	third   packet.Addr = 0xcb007107
	member  packet.Addr = 0x0a00000a // 10.0.0.10
	another packet.Addr = 0x0a00000b
)

// remote returns the i-th of many destinations.
func remote(i int) nat.Endpoint {
	return nat.Endpoint{Addr: 0xc6336400 + packet.Addr(i>>8), Port: uint16(i&0xff) + 1}
}

// tracker is a flow table as dumb as can be, which counts how often it is asked.
type tracker struct {
	flows map[packet.Tuple]bool // by the answers' tuple; true: spent
	asked int
}

func newTracker() *tracker { return &tracker{flows: make(map[packet.Tuple]bool)} }

func (tr *tracker) Use(reply packet.Tuple, seq uint32) nat.Use {
	tr.asked++
	switch spent, ok := tr.flows[reply]; {
	case !ok:
		return nat.Unused
	case spent:
		return nat.Spent
	}
	return nat.InUse
}

// flow is one that the gateway would have made.
type flow struct {
	original packet.Tuple
	ext      nat.Endpoint
}

func (f *flow) reply() packet.Tuple {
	t := f.original.Reverse()
	t.Dst, t.DstPort = f.ext.Addr, f.ext.Port
	if t.Proto == packet.ICMP {
		t.SrcPort = 0
	}
	return t
}

func tuple(proto packet.Protocol, src packet.Addr, port uint16, to nat.Endpoint) packet.Tuple {
	t := packet.Tuple{Src: src, SrcPort: port, Dst: to.Addr, DstPort: to.Port, Proto: proto}
	if proto == packet.ICMP {
		t.DstPort = 0
	}
	return t
}

// open does what the gateway does for the first packet of a flow.
func (tr *tracker) open(l *nat.Lease, t packet.Tuple, now int64) (f flow, evicted, ok bool) {
	ext, evict, ok := l.Allocate(&t, 0, tr, now)
	if !ok {
		return flow{}, false, false
	}
	f = flow{t, ext}
	if evict {
		l.Release(ext, t.SrcPort)
	}
	l.Hold(ext, t.SrcPort)
	tr.flows[f.reply()] = false
	return f, evict, true
}

func (tr *tracker) close(l *nat.Lease, f flow) {
	delete(tr.flows, f.reply())
	l.Release(f.ext, f.original.SrcPort)
}

// newLease is one member's, of so many ports from 1024 on.
func newLease(t testing.TB, proto packet.Protocol, ports int) *nat.Lease {
	t.Helper()
	p, err := nat.NewPolicy(nat.Rules{Frontends: []packet.Addr{public}, Outbound: []nat.OutboundRule{{
		Rule: 3, Name: "egress", Protocols: []packet.Protocol{proto},
		Frontends: []packet.Addr{public}, Members: []packet.Addr{member}, Ports: ports,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Leases()[0]
}
