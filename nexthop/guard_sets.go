package nexthop

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// SNAT ports of a frontend address with an outbound rule: 64,000 from 1024
// (Azure Load Balancer, outbound rules).
const firstSNATPort, lastSNATPort = 1024, 65023

// setChunk elements go in one message, whose attribute holds 64 KiB.
const setChunk = 256

// owned is a run of addresses with what is the gateway's of each.
type owned struct {
	first, last packet.Addr
	all         bool
	ports       []Ports // disjoint, ascending by protocol and port
}

// disjoint cuts frontends, which may overlap, into runs that don't: nf_tables
// refuses a set whose intervals overlap.
func disjoint(frontends []Guarded) []owned {
	var cuts []uint64 // where a run begins
	for _, f := range frontends {
		first, last := ends(f)
		cuts = append(cuts, uint64(first), uint64(last)+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var runs []owned
	for i := 0; i+1 < len(cuts); i++ {
		run := owned{first: packet.Addr(cuts[i]), last: packet.Addr(cuts[i+1] - 1)}
		covered := false
		for _, f := range frontends {
			if first, last := ends(f); first <= run.first && run.last <= last {
				covered = true
				run.add(f)
			}
		}
		if covered {
			run.ports = merge(run.ports)
			runs = append(runs, run)
		}
	}
	return runs
}

// ends returns the first and last address of the prefix.
func ends(f Guarded) (first, last packet.Addr) {
	first = packet.AddrFrom(f.Addresses.Masked().Addr())
	return first, route{start: first, bits: f.Addresses.Bits()}.last()
}

func (o *owned) add(f Guarded) {
	o.all = o.all || f.All
	o.ports = append(o.ports, f.Inbound...)
	if f.Outbound {
		o.ports = append(o.ports, Ports{packet.TCP, firstSNATPort, lastSNATPort}, Ports{packet.UDP, firstSNATPort, lastSNATPort})
	}
}

// merge joins ranges that overlap.
func merge(ports []Ports) (out []Ports) {
	slices.SortFunc(ports, func(a, b Ports) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First))
	})
	for _, p := range ports {
		if n := len(out); n > 0 && out[n-1].Protocol == p.Protocol && p.First <= out[n-1].Last {
			out[n-1].Last = max(out[n-1].Last, p.Last)
			continue
		}
		out = append(out, p)
	}
	return out
}

// guardSets are the sets that the rules of both chains look into.
type guardSets struct {
	table     *nftables.Table
	hosts     *nftables.Set // address types that are the host's
	frontends *nftables.Set // addresses
	whole     *nftables.Set // addresses of which everything is the gateway's
	ports     *nftables.Set // address . protocol . destination port
}

// add adds the sets to the transaction.
func (g *guardSets) add(c *nftables.Conn, runs []owned) error {
	var hosts, frontends, whole, ports []nftables.SetElement
	for _, t := range []uint32{unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_MULTICAST} {
		hosts = append(hosts, nftables.SetElement{Key: binary.NativeEndian.AppendUint32(nil, t)})
	}
	for _, r := range runs {
		frontends = append(frontends, addressRange(r)...)
		if r.all {
			whole = append(whole, addressRange(r)...)
		}
		for _, p := range r.ports {
			ports = append(ports, portRange(r, p))
		}
	}
	key, err := nftables.ConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	if err != nil {
		return err
	}
	g.hosts = &nftables.Set{Table: g.table, Name: "hosts", KeyType: nftables.TypeFIBAddr, Constant: true, KeyByteOrder: binaryutil.NativeEndian}
	g.frontends = &nftables.Set{Table: g.table, Name: "frontends", KeyType: nftables.TypeIPAddr, Interval: true}
	g.whole = &nftables.Set{Table: g.table, Name: "whole", KeyType: nftables.TypeIPAddr, Interval: true}
	g.ports = &nftables.Set{Table: g.table, Name: "ports", KeyType: key, Interval: true, Concatenation: true}
	return firstError(c.AddSet(g.hosts, hosts), addSet(c, g.frontends, frontends), addSet(c, g.whole, whole), addSet(c, g.ports, ports))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func addSet(c *nftables.Conn, s *nftables.Set, elements []nftables.SetElement) error {
	if err := c.AddSet(s, nil); err != nil {
		return err
	}
	for chunk := range slices.Chunk(elements, setChunk) {
		if err := c.SetAddElements(s, chunk); err != nil {
			return err
		}
	}
	return nil
}

// addressRange is an element and the one that ends it, which is left out where the
// range reaches the highest address.
func addressRange(r owned) []nftables.SetElement {
	e := []nftables.SetElement{{Key: be32(r.first)}}
	if r.last != lastAddr {
		e = append(e, nftables.SetElement{Key: be32(r.last + 1), IntervalEnd: true})
	}
	return e
}

// portRange is an element of three ranges, each field padded to a register.
func portRange(r owned, p Ports) nftables.SetElement {
	return nftables.SetElement{Key: portKey(r.first, p.Protocol, p.First), KeyEnd: portKey(r.last, p.Protocol, p.Last)}
}

func portKey(a packet.Addr, proto packet.Protocol, port uint16) []byte {
	k := append(be32(a), byte(proto), 0, 0, 0)
	return append(binary.BigEndian.AppendUint16(k, port), 0, 0)
}

func be32(a packet.Addr) []byte { return binary.BigEndian.AppendUint32(nil, uint32(a)) }
