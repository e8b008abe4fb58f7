package nexthop

import (
	"cmp"
	"slices"

	"tidegate/packet"
)

// owned is a run of addresses with what is the gateway's of each.
type owned struct {
	first, last packet.Addr
	all         bool
	outbound    bool
	ports       []Ports // disjoint, ascending by protocol and port
}

// disjoint cuts frontends, which may overlap, into runs that don't: nf_tables
// refuses a set whose intervals overlap.
func disjoint(frontends []Guarded) (runs []owned) {
	var cuts []uint64 // where a run begins
	for _, f := range frontends {
		first, last := ends(f)
		cuts = append(cuts, uint64(first), uint64(last)+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := 0; i+1 < len(cuts); i++ {
		run := owned{first: packet.Addr(cuts[i]), last: packet.Addr(cuts[i+1] - 1)}
		if run.collect(frontends) {
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

// collect joins what the frontends around the run say. It reports whether one does.
func (o *owned) collect(frontends []Guarded) (covered bool) {
	for _, f := range frontends {
		if first, last := ends(f); first <= o.first && o.last <= last {
			covered = true
			o.all, o.outbound = o.all || f.All, o.outbound || f.Outbound
			o.ports = append(o.ports, f.Inbound...)
		}
	}
	o.ports = merge(o.ports)
	return covered
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

// chain names the chain that knows what of the addresses is the gateway's.
func (o *owned) chain() string {
	switch {
	case o.all:
		return chainWhole
	case o.outbound:
		return chainOutbound
	}
	return chainInbound
}
