package nat

import (
	"slices"

	"tidegate/packet"
)

// usage is some ports, and which of them have flows.
type usage struct {
	Blocks []PortBlock
	first  []int // per block, how many ports come before it
	total  int
	used   int      // ports with a flow
	flows  []uint32 // per port; made when the first is needed
	inside []uint16 // per port with flows, the member's own port of a mapping
}

func newUsage(blocks []PortBlock) (u usage) {
	u.Blocks = blocks
	for _, b := range blocks {
		u.first = append(u.first, u.total)
		u.total += b.Count
	}
	return u
}

func (u *usage) prepare() {
	if u.flows == nil {
		u.flows, u.inside = make([]uint32, u.total), make([]uint16, u.total)
	}
}

// endpoint returns the i-th port.
func (u *usage) endpoint(i int) Endpoint {
	n, _ := slices.BinarySearch(u.first, i+1)
	b := &u.Blocks[n-1]
	return Endpoint{b.Frontend, b.First + uint16(i-u.first[n-1])}
}

// index is the reverse of endpoint, and names the block; false: it is none of them.
func (u *usage) index(e Endpoint) (int, *PortBlock, bool) {
	for i := range u.Blocks {
		b := &u.Blocks[i]
		if d := int(e.Port) - int(b.First); b.Frontend == e.Addr && d >= 0 && d < b.Count {
			return u.first[i] + d, b, true
		}
	}
	return 0, nil, false
}

// hold counts a flow on the i-th port, which is in block b.
func (u *usage) hold(i int, b *PortBlock, internal uint16) {
	if u.flows[i] == 0 {
		u.used++
		b.Used++
	}
	u.flows[i]++
	u.inside[i] = internal
}

// release is the reverse, and says whether the port has no flow any more.
func (u *usage) release(i int, b *PortBlock) (last bool) {
	u.flows[i]--
	if u.flows[i] > 0 {
		return false
	}
	u.used--
	b.Used--
	return true
}

// has says whether a port is one of them and has flows.
func (u *usage) has(e Endpoint) (internal uint16, ok bool) {
	i, _, ok := u.index(e)
	if !ok || u.flows == nil || u.flows[i] == 0 {
		return 0, false
	}
	return u.inside[i], true
}

// move takes over what from has in use of the same ports, and tells each.
func (u *usage) move(from *usage, moved func(Endpoint)) {
	for k := range from.Blocks {
		for n := range u.Blocks {
			u.moveBlock(n, from, k, moved)
		}
	}
}

func (u *usage) moveBlock(n int, from *usage, k int, moved func(Endpoint)) {
	to, was := &u.Blocks[n], &from.Blocks[k]
	first := max(int(to.First), int(was.First))
	end := min(int(to.First)+to.Count, int(was.First)+was.Count)
	if to.Frontend != was.Frontend {
		return
	}
	for port := first; port < end; port++ {
		i, j := from.first[k]+port-int(was.First), u.first[n]+port-int(to.First)
		if from.flows[i] == 0 {
			continue
		}
		u.flows[j], u.inside[j], from.flows[i] = from.flows[i], from.inside[i], 0
		u.used, to.Used, from.used, was.Used = u.used+1, to.Used+1, from.used-1, was.Used-1
		if moved != nil {
			moved(Endpoint{to.Frontend, uint16(port)})
		}
	}
}

// each yields the ports with flows.
func (u *usage) each(yield func(Endpoint) bool) {
	for n, b := range u.Blocks {
		for port := range b.Count {
			if u.flows[u.first[n]+port] > 0 && !yield(Endpoint{b.Frontend, b.First + uint16(port)}) {
				return
			}
		}
	}
}

func sameBlocks(a, b []PortBlock) bool {
	return slices.EqualFunc(a, b, func(a, b PortBlock) bool {
		return a.Frontend == b.Frontend && a.First == b.First && a.Count == b.Count
	})
}

// leavers counts, for each port, those whose flows have it although it is not theirs any
// more: one, but for TCP, where a port serves several as long as their destinations differ.
type leavers struct {
	shelves map[shelf]*leaving
	ports   int // with at least one
}

type leaving struct {
	n     [1 << 16]uint16 // by port
	ports int             // with at least one
}

func (v *leavers) has(e Endpoint, proto packet.Protocol) bool {
	l := v.shelves[shelf{e.Addr, proto}]
	return l != nil && l.n[e.Port] > 0
}

func (v *leavers) add(e Endpoint, proto packet.Protocol) {
	key := shelf{e.Addr, proto}
	l := v.shelves[key]
	if l == nil {
		l = new(leaving)
		v.shelves[key] = l
	}
	if l.n[e.Port] == 0 {
		l.ports++
		v.ports++
	}
	l.n[e.Port]++
}

// remove is the reverse, and says whether nobody is left.
func (v *leavers) remove(e Endpoint, proto packet.Protocol) (last bool) {
	key := shelf{e.Addr, proto}
	l := v.shelves[key]
	if l.n[e.Port]--; l.n[e.Port] > 0 {
		return false
	}
	v.ports--
	if l.ports--; l.ports == 0 {
		delete(v.shelves, key)
	}
	return true
}
